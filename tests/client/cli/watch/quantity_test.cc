#include "client/cli/watch/quantity.h"

#include <gtest/gtest.h>

namespace lossd::cli::watch {
namespace {

TEST(QuantityTest, CountsHaveThreeDigitsOrAreWhole) {
  EXPECT_EQ(CountText(0.0), "0");
  EXPECT_EQ(CountText(0.25), "0.25");
  EXPECT_EQ(CountText(12.34), "12.3");
  EXPECT_EQ(CountText(4096.0), "4096");
  EXPECT_EQ(CountText(12345.0), "12.3k");
  EXPECT_EQ(CountText(999.7), "1.00k");
  EXPECT_EQ(CountText(4.56e6), "4.56M");
  EXPECT_EQ(CountText(7.89e15), "7890T");
  EXPECT_EQ(CountText(std::nullopt), "-");
}

TEST(QuantityTest, BytesAreInPowersOf1024) {
  EXPECT_EQ(BytesText(0), "0 B");
  EXPECT_EQ(BytesText(1536), "1.50 KiB");
  EXPECT_EQ(BytesText(1 << 30), "1.00 GiB");
}

TEST(QuantityTest, SecondsHaveTheUnitThatFits) {
  EXPECT_EQ(SecondsText(5e-7), "0.50 us");
  EXPECT_EQ(SecondsText(1.234e-3), "1.23 ms");
  EXPECT_EQ(SecondsText(90.0), "90.0 s");
  EXPECT_EQ(SecondsText(std::nullopt), "-");
}

}  // namespace
}  // namespace lossd::cli::watch
