// What batches cost, learnt from those that were computed.
#ifndef LOSSD_SERVER_BATCHING_COST_H_
#define LOSSD_SERVER_BATCHING_COST_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lossd::batching {

// Time = requests * a + elements * b, where a and b are moving averages: small
// requests teach a, large ones b. One rate of elements alone would not do:
// after a thousand requests of 64 elements it would put a request of a million
// at seconds, and refuse its deadline. Not thread-safe.
class CostModel {
 public:
  // A batch was computed on one executor. No time or less (a clock that stood
  // still or went back) teaches nothing.
  void Learn(int64_t requests, int64_t elements, absl::Duration spent);

  // Of so much work on one executor.
  absl::Duration Estimate(int64_t requests, int64_t elements) const;

 private:
  // Before anything is learnt: a slow core, so that the first batches are not
  // thought instant.
  double seconds_per_request_ = 10e-6;
  double seconds_per_element_ = 2e-9;
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_COST_H_
