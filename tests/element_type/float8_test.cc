#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <optional>

#include "element_type/half.h"

namespace lossd {
namespace {

// The formats' limits, from the specification OFP8 of the Open Compute Project.
TEST(Float8, HasTheLargestValuesAndLimitsOfTheFormats) {
  EXPECT_EQ(FloatOf(Float8E4M3Fn{0x7e}), 448.0f);
  EXPECT_EQ(FloatOf(Float8E4M3Fn{0x08}), 0x1p-6f);
  EXPECT_EQ(FloatOf(Float8E4M3Fn{0x01}), 0x1p-9f);
  EXPECT_EQ(Float8E4M3FnOf(464).bits, 0x7e);
  EXPECT_EQ(Float8E4M3FnOf(464.0001f).bits, 0x7f);
  EXPECT_EQ(Float8E4M3FnOf(-INFINITY).bits, 0x7f);
  EXPECT_EQ(Float8E4M3FnOf(1).bits, 0x38);
  EXPECT_EQ(FloatOf(Float8E5M2{0x7b}), 57344.0f);
  EXPECT_EQ(FloatOf(Float8E5M2{0x04}), 0x1p-14f);
  EXPECT_EQ(FloatOf(Float8E5M2{0x01}), 0x1p-16f);
  EXPECT_EQ(Float8E5M2Of(61439).bits, 0x7b);
  EXPECT_EQ(Float8E5M2Of(61440).bits, 0x7c);
  EXPECT_EQ(Float8E5M2Of(-1e9f).bits, 0xfc);
  EXPECT_EQ(Float8E5M2Of(1).bits, 0x3c);
}

TEST(Float8, SaysThatAValueIsTooLarge) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto e4m3 = ElementType::kFloat8E4M3Fn, e5m2 = ElementType::kFloat8E5M2;
  EXPECT_EQ(DoubleToNarrow(e4m3, 464), 0x7e);
  EXPECT_EQ(DoubleToNarrow(e4m3, 465), std::nullopt);
  EXPECT_EQ(DoubleToNarrow(e4m3, -infinity), std::nullopt);
  EXPECT_EQ(DoubleToNarrow(e4m3, -std::nan("")), 0xff);
  EXPECT_EQ(DoubleToNarrow(e5m2, -61439), 0xfb);
  EXPECT_EQ(DoubleToNarrow(e5m2, 61440), std::nullopt);
  EXPECT_EQ(DoubleToNarrow(e5m2, -infinity), 0xfc);
}

}  // namespace
}  // namespace lossd
