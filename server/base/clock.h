// Time as a dependency, so that tests move it by hand.
#ifndef LOSSD_SERVER_BASE_CLOCK_H_
#define LOSSD_SERVER_BASE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/steady_time.h"

namespace lossd {

// Tells the time and waits for it. All timed waits go through the clock, so
// that a fake clock can end them (D32). Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // Blocks until `condition` is signalled or the time is `until`, whichever
  // comes first; may also return for no reason. `mu` is held when this is
  // called and when it returns, and released in between.
  virtual void Wait(absl::Mutex* mu, absl::CondVar* condition,
                    absl::Time until) const ABSL_SHARED_LOCKS_REQUIRED(mu) = 0;
};

// Tells the steady time (base/steady_time.h), because a deadline may not pass
// when somebody sets the machine's clock.
class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return SteadyNow(); }
  void Wait(absl::Mutex* mu, absl::CondVar* condition,
            absl::Time until) const override {
    condition->WaitWithTimeout(mu, until - Now());
  }
};

// Tells the time of day, which certificates are valid by.
class WallClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  void Wait(absl::Mutex* mu, absl::CondVar* condition,
            absl::Time until) const override {
    condition->WaitWithDeadline(mu, until);
  }
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_CLOCK_H_
