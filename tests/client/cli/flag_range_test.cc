#include "client/cli/flag_range.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace lossd::cli {
namespace {

TEST(FlagRangeTest, BothEndsAreInside) {
  EXPECT_TRUE(CheckRanges({}).ok());
  EXPECT_TRUE(CheckRanges({{"a", 1, 1, 5}, {"b", 5, 1, 5}}).ok());
}

TEST(FlagRangeTest, TheFirstOutsideIsNamedWithItsValueAndLimits) {
  EXPECT_EQ(CheckRanges({{"a", 0, 1, 5}}).message(),
            "--a=0: must be in [1, 5]");
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(CheckRanges({{"a", 1, 1, 5}, {"b", kMost, 1, 5}, {"c", 9, 1, 5}})
                .message(),
            "--b=9223372036854775807: must be in [1, 5]");
}

}  // namespace
}  // namespace lossd::cli
