// The float8 types against a table of all their values, made by the definition
// of the formats: the nearest value is looked up, not computed.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "element_type/half.h"

namespace lossd {
namespace {

template <class Float8>
struct Format;
template <>
struct Format<Float8E4M3Fn> {
  static constexpr ElementType kType = ElementType::kFloat8E4M3Fn;
  static constexpr int kFractionBits = 3;
  static constexpr int kBias = 7;
  static constexpr uint32_t kBeyond = 0x7f;  // after the largest value: NaN
  static constexpr uint8_t kNan = 0x7f;
  static constexpr bool kHasInfinity = false;
};
template <>
struct Format<Float8E5M2> {
  static constexpr ElementType kType = ElementType::kFloat8E5M2;
  static constexpr int kFractionBits = 2;
  static constexpr int kBias = 15;
  static constexpr uint32_t kBeyond = 0x7c;  // infinity
  static constexpr uint8_t kNan = 0x7e;
  static constexpr bool kHasInfinity = true;
};

template <class Float8>
class Float8Test : public testing::Test {
 protected:
  using F = Format<Float8>;

  // Returns the value by the definition of the format, and for kBeyond the one
  // that would follow the largest.
  static double ValueOf(uint32_t magnitude) {
    const int exponent = static_cast<int>(magnitude >> F::kFractionBits);
    const int fraction =
        static_cast<int>(magnitude & ((1u << F::kFractionBits) - 1));
    const int least = 1 - F::kBias - F::kFractionBits;
    if (exponent == 0) return std::ldexp(fraction, least);
    return std::ldexp((1 << F::kFractionBits) + fraction, exponent - 1 + least);
  }

  Float8Test() {
    for (uint32_t m = 0; m <= F::kBeyond; ++m) values_.push_back(ValueOf(m));
  }

  // Returns the pattern nearest to `value`; of two equally near ones the even
  // one.
  uint8_t Nearest(double value) const {
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
    if (bits == F::kBeyond && !F::kHasInfinity) return F::kNan;
    return static_cast<uint8_t>(bits | (std::signbit(value) ? 0x80 : 0));
  }

  template <class T>
  static uint8_t Rounded(T value) {
    Float8 float8;
    StoreRounded(value, &float8);
    return float8.bits;
  }

  std::vector<double> values_;
};

using Float8s = testing::Types<Float8E4M3Fn, Float8E5M2>;
TYPED_TEST_SUITE(Float8Test, Float8s);

TYPED_TEST(Float8Test, EveryPatternHasTheValueOfItsFormatAndComesBack) {
  for (uint32_t bits = 0; bits < 0x100; ++bits) {
    const float value = FloatOf(TypeParam{static_cast<uint8_t>(bits)});
    const uint32_t magnitude = bits & 0x7f;
    EXPECT_EQ(std::signbit(value), bits >= 0x80) << bits;
    uint32_t back = bits;
    if (magnitude < TestFixture::F::kBeyond) {
      EXPECT_EQ(std::fabs(value), this->ValueOf(magnitude)) << bits;
    } else if (magnitude == TestFixture::F::kBeyond &&
               TestFixture::F::kHasInfinity) {
      EXPECT_TRUE(std::isinf(value)) << bits;
    } else {
      EXPECT_TRUE(std::isnan(value)) << bits;
      back = TestFixture::F::kNan;
    }
    EXPECT_EQ(this->Rounded(value), back);
    EXPECT_EQ(this->Rounded(static_cast<double>(value)), back);
  }
}

TYPED_TEST(Float8Test, TiesGoToTheEvenOneAndTheirNeighboursToTheNearest) {
  for (uint32_t m = 0; m < Format<TypeParam>::kBeyond; ++m) {
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

TYPED_TEST(Float8Test, PatternsOfEveryExponentGoToTheNearest) {
  constexpr unsigned kSeed = 21;
  std::mt19937_64 random(kSeed);
  for (int trial = 0; trial < 1'000'000; ++trial) {
    const auto narrow =
        std::bit_cast<float>(static_cast<uint32_t>(random() >> 32));
    ASSERT_EQ(this->Rounded(narrow), this->Nearest(narrow))
        << narrow << ", seed " << kSeed;
    const double wide =
        std::ldexp(std::bit_cast<double>(random() >> 12 | 0x3ff0000000000000u),
                   static_cast<int>(random() % 60) - 30);
    ASSERT_EQ(this->Rounded(-wide), this->Nearest(-wide))
        << wide << ", seed " << kSeed;
  }
}

TYPED_TEST(Float8Test, EveryNanBecomesTheCanonicalOne) {
  for (const uint32_t bits : {0x7f800001u, 0xffc00000u, 0xffffffffu}) {
    EXPECT_EQ(this->Rounded(std::bit_cast<float>(bits)),
              Format<TypeParam>::kNan);
  }
  EXPECT_EQ(this->Rounded(-std::numeric_limits<double>::quiet_NaN()),
            Format<TypeParam>::kNan);
}

TYPED_TEST(Float8Test, IsNarrowedAndWidenedByItsTypeToo) {
  for (uint32_t m = 0; m < TestFixture::F::kBeyond; ++m) {
    const auto bits = static_cast<uint16_t>(m | 0x80);
    EXPECT_EQ(NarrowToDouble(TestFixture::F::kType, bits), -this->values_[m]);
    EXPECT_EQ(DoubleToNarrow(TestFixture::F::kType, -this->values_[m]), bits);
  }
}

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
