#include "server/observability/saturation.h"

#include <gtest/gtest.h>

namespace lossd::observability {
namespace {

TEST(Saturation, IsZeroWhileNothingIsComputed) {
  Saturation saturation;
  EXPECT_EQ(saturation.AtScrape(0, 0), 0);
  EXPECT_EQ(saturation.AtScrape(0, 0), 0);
}

TEST(Saturation, IsTheRatioSinceTheStartAtFirst) {
  Saturation saturation;
  EXPECT_EQ(saturation.AtScrape(30, 10), 3);
  EXPECT_EQ(saturation.AtScrape(40, 20), 2);
}

TEST(Saturation, ForgetsWhatIsOlderThanItsWindow) {
  Saturation saturation;
  saturation.AtScrape(1000, 10);
  for (size_t i = 1; i < Saturation::kScrapes; ++i)
    saturation.AtScrape(1000, 10);
  // Since the first scrape: nothing waited, 10 were computed.
  EXPECT_EQ(saturation.AtScrape(1000, 20), 0);
  // Since the second: 5 waited, 20 were computed.
  EXPECT_EQ(saturation.AtScrape(1005, 30), 0.25);
}

TEST(Saturation, GoesBackToZeroWhenTheServerFallsIdle) {
  Saturation saturation;
  double last = saturation.AtScrape(50, 10);
  EXPECT_EQ(last, 5);
  for (size_t i = 0; i < Saturation::kScrapes; ++i)
    last = saturation.AtScrape(50, 10);
  EXPECT_EQ(last, 0);
}

}  // namespace
}  // namespace lossd::observability
