#include "server/observability/saturation.h"

#include <gtest/gtest.h>

namespace lossd::observability {
namespace {

using absl::Seconds;

TEST(Saturation, IsZeroWhileNothingIsComputed) {
  Saturation saturation;
  EXPECT_EQ(saturation.AtScrape(Seconds(1), 0, 0), 0);
  EXPECT_EQ(saturation.AtScrape(Seconds(100), 0, 0), 0);
}

TEST(Saturation, IsTheRatioSinceTheStartAtFirst) {
  Saturation saturation;
  EXPECT_EQ(saturation.AtScrape(Seconds(5), 30, 10), 3);
  EXPECT_EQ(saturation.AtScrape(Seconds(10), 40, 20), 2);
}

TEST(Saturation, ForgetsWhatIsOlderThanItsWindow) {
  Saturation saturation;
  saturation.AtScrape(Seconds(0), 1000, 10);
  saturation.AtScrape(Seconds(30), 1005, 10);
  // Since the start.
  EXPECT_EQ(saturation.AtScrape(Seconds(59), 1010, 20), 50.5);
  // Since the first scrape: 10 waited, 10 were computed.
  EXPECT_EQ(saturation.AtScrape(Seconds(60), 1010, 20), 1);
  // Since the second: 5 waited, 20 were computed.
  EXPECT_EQ(saturation.AtScrape(Seconds(90), 1010, 30), 0.25);
}

TEST(Saturation, DoesNotDependOnASecondScraper) {
  Saturation alone;
  Saturation shared;
  for (int second = 0; second <= 600; ++second) {
    // Much waits in the first five minutes, and nothing after them.
    const int64_t queue = second < 300 ? 4 * second : 1200;
    const double both = shared.AtScrape(Seconds(second), queue, second);
    if (second % 15 != 0) continue;
    EXPECT_NEAR(both, alone.AtScrape(Seconds(second), queue, second), 1e-9);
  }
}

TEST(Saturation, CoversTheLastIntervalOfASlowScraper) {
  Saturation saturation;
  saturation.AtScrape(Seconds(0), 100, 10);
  saturation.AtScrape(Seconds(300), 100, 20);
  EXPECT_EQ(saturation.AtScrape(Seconds(600), 130, 30), 3);
}

TEST(Saturation, GoesBackToZeroWhenTheServerFallsIdle) {
  Saturation saturation;
  EXPECT_EQ(saturation.AtScrape(Seconds(15), 50, 10), 5);
  EXPECT_EQ(saturation.AtScrape(Seconds(75), 50, 10), 0);
}

}  // namespace
}  // namespace lossd::observability
