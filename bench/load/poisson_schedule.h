#ifndef LOSSD_BENCH_LOAD_POISSON_SCHEDULE_H_
#define LOSSD_BENCH_LOAD_POISSON_SCHEDULE_H_

#include <cstdint>
#include <random>

#include "absl/time/time.h"

namespace lossd::bench {

// The arrival times of an open loop: a Poisson process. They depend on rate and
// seed alone, not on when replies come, which is what keeps a slow server from
// slowing its own measurement down.
class PoissonSchedule {
 public:
  // `rate` arrivals per second, > 0.
  PoissonSchedule(double rate, uint64_t seed);

  // The next arrival, counted from the start; never falls.
  absl::Duration Next();

 private:
  const double rate_;
  std::mt19937_64 random_;
  double seconds_ = 0;
};

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_POISSON_SCHEDULE_H_
