#include "bench/load/latency_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace lossd::bench {
namespace {

// Returns a percentile by its definition: an element of the sorted values.
int64_t NearestRank(const std::vector<int64_t>& sorted, double fraction) {
  const auto n = static_cast<double>(sorted.size());
  const auto rank = static_cast<size_t>(std::max(1.0, std::ceil(fraction * n)));
  return sorted[rank - 1];
}

TEST(LatencyHistogramTest, PercentilesAreThoseOfTheSortedValuesWithinABucket) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> latencies(11, 2);  // around 60 us
  LatencyHistogram histogram;
  std::vector<int64_t> values;
  for (int i = 0; i < 10'000; ++i) {
    values.push_back(static_cast<int64_t>(latencies(random)));
    histogram.Record(absl::Nanoseconds(values.back()));
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.0, 0.001, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const int64_t exact = NearestRank(values, fraction);
    const int64_t got =
        absl::ToInt64Nanoseconds(histogram.Percentile(fraction));
    EXPECT_GE(got, exact) << fraction;
    EXPECT_LE(got, exact + exact / 128 + 1) << fraction;
  }
  EXPECT_EQ(histogram.max(), absl::Nanoseconds(values.back()));
}

TEST(LatencyHistogramTest, SmallValuesAreExact) {
  LatencyHistogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.Record(absl::Nanoseconds(i));
  EXPECT_EQ(histogram.Percentile(0.5), absl::Nanoseconds(50));
  EXPECT_EQ(histogram.Percentile(0.99), absl::Nanoseconds(99));
  EXPECT_EQ(histogram.Percentile(1), absl::Nanoseconds(100));
}

TEST(LatencyHistogramTest, EveryPowerOfTwoAndItsNeighboursHaveABucket) {
  for (int bit = 0; bit < 63; ++bit) {
    for (const int64_t delta : {-1, 0, 1}) {
      const int64_t value = (int64_t{1} << bit) + delta;
      LatencyHistogram histogram;
      histogram.Record(absl::Nanoseconds(value));
      histogram.Record(absl::Nanoseconds(std::numeric_limits<int64_t>::max()));
      const int64_t got = absl::ToInt64Nanoseconds(histogram.Percentile(0.5));
      EXPECT_GE(got, value);
      EXPECT_LE(got - value, value / 128);
    }
  }
}

TEST(LatencyHistogramTest, MergingEqualsRecordingInOneHistogram) {
  LatencyHistogram a;
  LatencyHistogram b;
  LatencyHistogram all;
  for (int i = 0; i < 1000; ++i) {
    const absl::Duration latency = absl::Microseconds(i * i % 977);
    (i % 3 == 0 ? a : b).Record(latency);
    all.Record(latency);
  }
  a.Merge(b);
  EXPECT_EQ(a.count(), all.count());
  EXPECT_EQ(a.max(), all.max());
  for (const double fraction : {0.1, 0.5, 0.9, 0.99}) {
    EXPECT_EQ(a.Percentile(fraction), all.Percentile(fraction));
  }
}

TEST(LatencyHistogramTest,
     AnEmptyHistogramReadsZeroAndNegativeValuesCountAsZero) {
  LatencyHistogram histogram;
  EXPECT_EQ(histogram.Percentile(0.5), absl::ZeroDuration());
  histogram.Record(absl::Nanoseconds(-5));
  EXPECT_EQ(histogram.count(), 1);
  EXPECT_EQ(histogram.Percentile(1), absl::ZeroDuration());
}

}  // namespace
}  // namespace lossd::bench
