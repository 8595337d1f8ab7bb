// The limits of the half types, and conversions that narrow_types_test.cc does
// not have.
#include "element_type/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

namespace lossd {
namespace {

TEST(StoreRounded, MakesTheCanonicalNanOfFloat32AndFloat64Too) {
  const double wide = -std::numeric_limits<double>::quiet_NaN();
  const float narrow = -std::numeric_limits<float>::quiet_NaN();
  float to = 0;
  StoreRounded(wide, &to);
  EXPECT_EQ(std::bit_cast<uint32_t>(to), 0x7fc00000u);
  StoreRounded(narrow, &to);
  EXPECT_EQ(std::bit_cast<uint32_t>(to), 0x7fc00000u);
  double to_wide = 0;
  StoreRounded(narrow, &to_wide);
  EXPECT_EQ(std::bit_cast<uint64_t>(to_wide), 0x7ff8000000000000u);
}

TEST(Half, HasTheLargestValuesAndLimitsOfTheFormats) {
  EXPECT_EQ(FloatOf(Float16{0x7bff}), 65504.0f);
  EXPECT_EQ(FloatOf(Float16{0x0001}), 0x1p-24f);
  EXPECT_EQ(Float16Of(65519.996f).bits, 0x7bff);
  EXPECT_EQ(Float16Of(65520.0f).bits, 0x7c00);
  EXPECT_EQ(FloatOf(BFloat16{0x7f7f}), 0x1.fep127f);
  EXPECT_EQ(FloatOf(BFloat16{0x0001}), 0x1p-133f);
  EXPECT_EQ(BFloat16Of(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(BFloat16Of(1.0f).bits, 0x3f80);
  EXPECT_EQ(Float16Of(1.0f).bits, 0x3c00);
}

TEST(DoubleToNarrow, SaysThatAFiniteValueIsTooLarge) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto half = ElementType::kFloat16, brain = ElementType::kBFloat16;
  EXPECT_EQ(DoubleToNarrow(half, 65519), 0x7bff);
  EXPECT_EQ(DoubleToNarrow(half, 65520), std::nullopt);
  EXPECT_EQ(DoubleToNarrow(half, -1e300), std::nullopt);
  EXPECT_EQ(DoubleToNarrow(half, -infinity), 0xfc00);
  EXPECT_EQ(DoubleToNarrow(brain, 0x1.fep127), 0x7f7f);
  EXPECT_EQ(DoubleToNarrow(brain, 0x1.ffp127), std::nullopt);
  EXPECT_EQ(DoubleToNarrow(brain, infinity), 0x7f80);
}

TEST(DoubleToNarrow, KeepsTheSignOfNanAndZero) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(DoubleToNarrow(ElementType::kFloat16, nan), 0x7e00);
  EXPECT_EQ(DoubleToNarrow(ElementType::kFloat16, -nan), 0xfe00);
  EXPECT_EQ(DoubleToNarrow(ElementType::kBFloat16, -nan), 0xffc0);
  EXPECT_EQ(DoubleToNarrow(ElementType::kBFloat16, -0.0), 0x8000);
  EXPECT_TRUE(std::signbit(NarrowToDouble(ElementType::kFloat16, 0xfe00)));
}

// The result is rounded once, although 1 + 2^-8 lies in the middle of two
// bfloat16 numbers and 2^-40 is lost in float32.
TEST(DoubleToNarrow, RoundsOnce) {
  EXPECT_EQ(DoubleToNarrow(ElementType::kBFloat16, 1 + 0x1p-8 + 0x1p-40),
            0x3f81);
  EXPECT_EQ(DoubleToNarrow(ElementType::kBFloat16, 1 + 0x1p-8), 0x3f80);
}

}  // namespace
}  // namespace lossd
