#include "bench/load/poisson_schedule.h"

#include <cmath>

namespace lossd::bench {

PoissonSchedule::PoissonSchedule(double rate, uint64_t seed)
    : rate_(rate), random_(seed) {}

absl::Duration PoissonSchedule::Next() {
  // The gaps are exponential, by inversion. The distributions of standard
  // libraries differ, but this is the same everywhere. u is in (0, 1].
  const double u = static_cast<double>((random_() >> 11) + 1) * 0x1p-53;
  seconds_ += -std::log(u) / rate_;
  return absl::Seconds(seconds_);
}

}  // namespace lossd::bench
