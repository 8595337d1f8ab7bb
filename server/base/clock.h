// Time as a dependency, so that tests move it by hand.
#ifndef LOSSD_SERVER_BASE_CLOCK_H_
#define LOSSD_SERVER_BASE_CLOCK_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lossd {

// Tells the time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
};

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_CLOCK_H_
