// The arrival times of an open loop.
#ifndef LOSSD_BENCH_LOAD_POISSON_SCHEDULE_H_
#define LOSSD_BENCH_LOAD_POISSON_SCHEDULE_H_

#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace lossd::bench {

// A Poisson process. The arrival times depend on rate and seed alone, not on
// when replies come, so that a slow server cannot slow its own measurement
// down. Not thread-safe.
class PoissonSchedule {
 public:
  // `rate` arrivals per second, > 0.
  PoissonSchedule(double rate, uint64_t seed);

  // Returns the next arrival, counted from the start. It is never before the
  // last one.
  absl::Duration Next();

 private:
  const double rate_;
  std::mt19937_64 random_;
  double seconds_ = 0;
};

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_POISSON_SCHEDULE_H_
