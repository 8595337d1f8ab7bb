// Time as a dependency, so that tests move it by hand.
#ifndef LOSSD_SERVER_BASE_CLOCK_H_
#define LOSSD_SERVER_BASE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lossd {

// Tells the time, and waits for it. Thread-safe.
class Clock {  // D32
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // Waits on `condition` until it is signalled or the time is `until`,
  // whichever comes first; may also return for no reason. `mu` is held before
  // and after, and released in between. Who waits on time does it here, so that
  // a fake clock can end the wait.
  virtual void Wait(absl::Mutex* mu, absl::CondVar* condition,
                    absl::Time until) const ABSL_SHARED_LOCKS_REQUIRED(mu) = 0;
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  void Wait(absl::Mutex* mu, absl::CondVar* condition,
            absl::Time until) const override {
    condition->WaitWithDeadline(mu, until);
  }
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_CLOCK_H_
