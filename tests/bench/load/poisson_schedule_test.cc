#include "bench/load/poisson_schedule.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace lossd::bench {
namespace {

std::vector<double> Gaps(double rate, uint64_t seed, int count) {
  PoissonSchedule schedule(rate, seed);
  std::vector<double> gaps;
  absl::Duration last = absl::ZeroDuration();
  for (int i = 0; i < count; ++i) {
    const absl::Duration next = schedule.Next();
    gaps.push_back(absl::ToDoubleSeconds(next - last));
    last = next;
  }
  return gaps;
}

TEST(PoissonScheduleTest, TheSameSeedGivesTheSameArrivals) {
  EXPECT_EQ(Gaps(1000, 7, 100), Gaps(1000, 7, 100));
  EXPECT_NE(Gaps(1000, 7, 100), Gaps(1000, 8, 100));
}

TEST(PoissonScheduleTest, GapsAreExponentialWithTheRatesMean) {
  constexpr int kCount = 100'000;
  const std::vector<double> gaps = Gaps(500, 3, kCount);
  double sum = 0;
  double squares = 0;
  int longer_than_mean = 0;
  for (const double gap : gaps) {
    EXPECT_GE(gap, 0);
    sum += gap;
    squares += gap * gap;
    longer_than_mean += gap > 1.0 / 500;
  }
  const double mean = sum / kCount;
  // An exponential distribution has a standard deviation equal to its mean, and
  // a share of 1/e lies above the mean. The bounds are five standard errors.
  EXPECT_NEAR(mean, 1.0 / 500, 5 / 500.0 / std::sqrt(kCount));
  EXPECT_NEAR(std::sqrt(squares / kCount - mean * mean), 1.0 / 500, 0.03 / 500);
  EXPECT_NEAR(longer_than_mean / double{kCount}, std::exp(-1.0), 0.008);
}

}  // namespace
}  // namespace lossd::bench
