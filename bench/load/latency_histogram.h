#ifndef LOSSD_BENCH_LOAD_LATENCY_HISTOGRAM_H_
#define LOSSD_BENCH_LOAD_LATENCY_HISTOGRAM_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace lossd::bench {

// Latencies in buckets whose width is 1/128 of their value or less: any number
// of them in 64 KiB, and percentiles that are at most 0.8 % too high, never too
// low. Not thread-safe: one for each thread, merged at the end.
class LatencyHistogram {
 public:
  LatencyHistogram();

  // Negative latencies count as 0.
  void Record(absl::Duration latency);

  void Merge(const LatencyHistogram& other);

  int64_t count() const { return count_; }
  absl::Duration max() const { return absl::Nanoseconds(max_); }

  // The nearest-rank percentile: the smallest recorded latency that at least
  // `fraction` (in [0, 1]) of all do not exceed. 0 if nothing was recorded.
  absl::Duration Percentile(double fraction) const;

 private:
  std::vector<int64_t> buckets_;
  int64_t count_ = 0;
  int64_t max_ = 0;  // nanoseconds
};

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_LATENCY_HISTOGRAM_H_
