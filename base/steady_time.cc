#include "base/steady_time.h"

#include <chrono>

#include "absl/time/time.h"

namespace lossd {
namespace {

// absl::Now() is not used: for up to two seconds after a step it may still
// interpolate from before it (the sampling of absl/time/clock.cc).
absl::Time TimeOfDay() {
  return absl::FromChrono(std::chrono::system_clock::now());
}

}  // namespace

absl::Time SteadyNow() {
  using Steady = std::chrono::steady_clock;
  static const Steady::time_point first = Steady::now();
  static const absl::Time time_of_first = TimeOfDay();
  return time_of_first + absl::FromChrono(Steady::now() - first);
}

absl::Time SteadyTimeOf(absl::Time time_of_day) {
  return SteadyNow() + (time_of_day - TimeOfDay());
}

absl::Duration SteadyToTimeOfDay() { return TimeOfDay() - SteadyNow(); }

}  // namespace lossd
