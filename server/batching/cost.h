// The cost of batches, learnt from batches that were computed.
#ifndef LOSSD_SERVER_BATCHING_COST_H_
#define LOSSD_SERVER_BATCHING_COST_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lossd::batching {

// Estimates time as requests * a + elements * b. Both a and b are moving
// averages, of which the newest batch is an eighth: batches of small requests
// teach a, batches of large ones b. A single rate of elements would not do:
// after a thousand requests of 64 elements it would estimate seconds for a
// request of a million, and refuse its deadline. Not thread-safe.
class CostModel {
 public:
  // Learns from a batch that one executor computed in `spent`. Zero or negative
  // time (the clock stood still or went back) teaches nothing.
  void Learn(int64_t requests, int64_t elements, absl::Duration spent);

  // Estimates the time of this much work on one executor.
  absl::Duration Estimate(int64_t requests, int64_t elements) const;

 private:
  // The first values are those of a slow core, so that the first batches are
  // not thought instant.
  double seconds_per_request_ = 10e-6;
  double seconds_per_element_ = 2e-9;
};

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_COST_H_
