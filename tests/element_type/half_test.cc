// bfloat16 and float16 against a table of all their values: the nearest value
// is looked up, not computed.
#include "element_type/half.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace lossd {
namespace {

template <class Half>
struct Format;
template <>
struct Format<BFloat16> {
  static constexpr int kFractionBits = 7;
  static constexpr int kBias = 127;
  static constexpr uint16_t kNan = 0x7fc0;
};
template <>
struct Format<Float16> {
  static constexpr int kFractionBits = 10;
  static constexpr int kBias = 15;
  static constexpr uint16_t kNan = 0x7e00;
};

template <class Half>
class HalfTest : public testing::Test {
 protected:
  using F = Format<Half>;
  static constexpr uint32_t kInfinity = (2 * F::kBias + 1) << F::kFractionBits;

  // Returns the value by the definition of the format. Infinity counts as the
  // value that would follow the largest one.
  static double ValueOf(uint32_t magnitude) {
    const int exponent = static_cast<int>(magnitude >> F::kFractionBits);
    const int fraction =
        static_cast<int>(magnitude & ((1u << F::kFractionBits) - 1));
    const int least = 1 - F::kBias - F::kFractionBits;
    if (exponent == 0) return std::ldexp(fraction, least);
    return std::ldexp((1 << F::kFractionBits) + fraction, exponent - 1 + least);
  }

  HalfTest() {
    for (uint32_t m = 0; m <= kInfinity; ++m) values_.push_back(ValueOf(m));
  }

  // Returns the pattern nearest to `value`; of two equally near ones the even
  // one.
  uint16_t Nearest(double value) const {
    if (std::isnan(value)) return F::kNan;
    const double magnitude = std::min(std::fabs(value), values_.back());
    const auto above =
        std::lower_bound(values_.begin(), values_.end(), magnitude);
    uint32_t bits = static_cast<uint32_t>(above - values_.begin());
    if (*above != magnitude) {
      const double over = *above - magnitude;
      const double under = magnitude - *(above - 1);
      if (under < over || (under == over && bits % 2 == 1)) --bits;
    }
    return static_cast<uint16_t>(bits | (std::signbit(value) ? 0x8000 : 0));
  }

  static uint16_t Rounded(double value) {
    Half half;
    StoreRounded(value, &half);
    return half.bits;
  }
  static uint16_t Rounded(float value) {
    Half half;
    StoreRounded(value, &half);
    return half.bits;
  }

  std::vector<double> values_;
};

using Halves = testing::Types<BFloat16, Float16>;
TYPED_TEST_SUITE(HalfTest, Halves);

TYPED_TEST(HalfTest, EveryPatternHasTheValueOfItsFormat) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = FloatOf(TypeParam{static_cast<uint16_t>(bits)});
    const uint32_t magnitude = bits & 0x7fff;
    ASSERT_EQ(std::signbit(value), bits >= 0x8000) << bits;
    if (magnitude > this->kInfinity) {
      ASSERT_TRUE(std::isnan(value)) << bits;
    } else if (magnitude == this->kInfinity) {
      ASSERT_TRUE(std::isinf(value)) << bits;
    } else {
      ASSERT_EQ(std::fabs(value), this->ValueOf(magnitude)) << bits;
    }
  }
}

TYPED_TEST(HalfTest, EveryPatternButANanComesBackFromBothTypes) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = FloatOf(TypeParam{static_cast<uint16_t>(bits)});
    const uint32_t expected =
        (bits & 0x7fff) > this->kInfinity ? Format<TypeParam>::kNan : bits;
    ASSERT_EQ(this->Rounded(value), expected);
    ASSERT_EQ(this->Rounded(static_cast<double>(value)), expected);
  }
}

// Rounding goes wrong at the middle between two neighbours and next to it, in
// float32 and in float64. A conversion of float64 by way of float32 rounds
// twice.
TYPED_TEST(HalfTest, TiesGoToTheEvenOneAndTheirNeighboursToTheNearest) {
  for (uint32_t m = 0; m < this->kInfinity; ++m) {
    const double middle = (this->values_[m] + this->values_[m + 1]) / 2;
    for (const double sign : {1.0, -1.0}) {
      const double tie = sign * middle;
      const float narrow = static_cast<float>(tie);
      for (const float x : {std::nextafterf(narrow, -INFINITY), narrow,
                            std::nextafterf(narrow, INFINITY)}) {
        ASSERT_EQ(this->Rounded(x), this->Nearest(x)) << x;
      }
      for (const double x : {std::nextafter(tie, -INFINITY), tie,
                             std::nextafter(tie, INFINITY)}) {
        ASSERT_EQ(this->Rounded(x), this->Nearest(x)) << x;
      }
    }
  }
}

TYPED_TEST(HalfTest, RandomPatternsOfEveryExponentGoToTheNearest) {
  constexpr unsigned kSeed = 20;
  std::mt19937_64 random(kSeed);
  for (int trial = 0; trial < 1'000'000; ++trial) {
    const auto narrow =
        std::bit_cast<float>(static_cast<uint32_t>(random() >> 32));
    ASSERT_EQ(this->Rounded(narrow), this->Nearest(narrow))
        << narrow << ", seed " << kSeed;
    // Most of these float64 numbers have an exponent that float32 has.
    const double wide =
        std::ldexp(std::bit_cast<double>(random() >> 12 | 0x3ff0000000000000u),
                   static_cast<int>(random() % 340) - 180);
    ASSERT_EQ(this->Rounded(-wide), this->Nearest(-wide))
        << wide << ", seed " << kSeed;
  }
}

TYPED_TEST(HalfTest, EveryNanBecomesTheCanonicalOne) {
  for (const uint32_t bits : {0x7f800001u, 0xffc00000u, 0xffffffffu}) {
    EXPECT_EQ(this->Rounded(std::bit_cast<float>(bits)),
              Format<TypeParam>::kNan);
  }
  for (const uint64_t bits : {0x7ff0000000000001u, 0xfff8000000000000u}) {
    EXPECT_EQ(this->Rounded(std::bit_cast<double>(bits)),
              Format<TypeParam>::kNan);
  }
}

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
