#include "server/batching/cost.h"

#include <gtest/gtest.h>

namespace lossd::batching {
namespace {

constexpr int64_t kMi = int64_t{1} << 20;

TEST(CostModel, LearnsBothCostsFromAMixture) {
  CostModel cost;
  // The true costs are 20 us per request and 1 ns per element.
  for (int i = 0; i < 200; ++i) {
    cost.Learn(10, 640, absl::Nanoseconds(200'000 + 640));
    cost.Learn(1, kMi, absl::Nanoseconds(20'000 + kMi));
  }
  EXPECT_NEAR(absl::ToDoubleSeconds(cost.Estimate(1, 0)), 20e-6, 1e-7);
  EXPECT_NEAR(absl::ToDoubleSeconds(cost.Estimate(0, kMi)), 1.048576e-3, 1e-6);
}

TEST(CostModel, ManySmallRequestsDoNotMakeALargeOneLookHopeless) {
  CostModel cost;
  for (int i = 0; i < 1000; ++i) cost.Learn(1, 64, absl::Microseconds(100));
  EXPECT_LT(cost.Estimate(1, kMi), absl::Milliseconds(10));
  EXPECT_GT(cost.Estimate(100, 6400), absl::Milliseconds(9));
}

TEST(CostModel, AClockThatStandsStillOrGoesBackTeachesNothing) {
  CostModel cost;
  const absl::Duration before = cost.Estimate(5, kMi);
  cost.Learn(5, kMi, absl::ZeroDuration());
  cost.Learn(5, kMi, absl::Hours(-1));
  cost.Learn(0, 0, absl::Seconds(1));
  EXPECT_EQ(cost.Estimate(5, kMi), before);
}

TEST(CostModel, NoCostIsEverNegative) {
  CostModel cost;
  for (int i = 0; i < 100; ++i) {
    cost.Learn(1, 64, absl::Nanoseconds(1));
    cost.Learn(1, kMi, absl::Nanoseconds(1));
  }
  EXPECT_GE(cost.Estimate(1, 0), absl::ZeroDuration());
  EXPECT_GE(cost.Estimate(0, kMi), absl::ZeroDuration());
}

}  // namespace
}  // namespace lossd::batching
