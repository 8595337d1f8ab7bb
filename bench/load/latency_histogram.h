// A histogram of latencies.
#ifndef LOSSD_BENCH_LOAD_LATENCY_HISTOGRAM_H_
#define LOSSD_BENCH_LOAD_LATENCY_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace lossd::bench {

// Counts latencies in buckets whose width is at most 1/128 of their value. Any
// number of latencies takes 64 KiB, and percentiles are at most 0.8 % too high
// and never too low. Not thread-safe: each thread has one, and they are merged
// at the end.
class LatencyHistogram {
 public:
  LatencyHistogram();

  // Negative latencies count as 0.
  void Record(absl::Duration latency);

  void Merge(const LatencyHistogram& other);

  int64_t count() const { return count_; }
  absl::Duration max() const { return absl::Nanoseconds(max_); }

  // Returns the nearest-rank percentile: the smallest recorded latency that at
  // least `fraction` (in [0, 1]) of all do not exceed, or 0 if nothing was
  // recorded.
  absl::Duration Percentile(double fraction) const;

 private:
  std::vector<int64_t> buckets_;
  int64_t count_ = 0;
  int64_t max_ = 0;  // nanoseconds
};

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_LATENCY_HISTOGRAM_H_
