// bfloat16, float16 and the float8 types against a table of all their values,
// made by the definition of the formats: the nearest value is looked up, not
// computed.
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

// `kBeyond` is the pattern after the largest value: infinity, or the NaN of a
// format without it.
template <class Narrow>
struct Format;
template <>
struct Format<BFloat16> {
  using Bits = uint16_t;
  static constexpr ElementType kType = ElementType::kBFloat16;
  static constexpr int kFractionBits = 7;
  static constexpr int kBias = 127;
  static constexpr uint32_t kBeyond = 0x7f80;
  static constexpr Bits kNan = 0x7fc0;
  static constexpr int kExponents = 340;  // of random float64 numbers
};
template <>
struct Format<Float16> {
  using Bits = uint16_t;
  static constexpr ElementType kType = ElementType::kFloat16;
  static constexpr int kFractionBits = 10;
  static constexpr int kBias = 15;
  static constexpr uint32_t kBeyond = 0x7c00;
  static constexpr Bits kNan = 0x7e00;
  static constexpr int kExponents = 100;
};
template <>
struct Format<Float8E4M3Fn> {
  using Bits = uint8_t;
  static constexpr ElementType kType = ElementType::kFloat8E4M3Fn;
  static constexpr int kFractionBits = 3;
  static constexpr int kBias = 7;
  static constexpr uint32_t kBeyond = 0x7f;
  static constexpr Bits kNan = 0x7f;
  static constexpr int kExponents = 60;
};
template <>
struct Format<Float8E5M2> {
  using Bits = uint8_t;
  static constexpr ElementType kType = ElementType::kFloat8E5M2;
  static constexpr int kFractionBits = 2;
  static constexpr int kBias = 15;
  static constexpr uint32_t kBeyond = 0x7c;
  static constexpr Bits kNan = 0x7e;
  static constexpr int kExponents = 60;
};

template <class Narrow>
class NarrowTypes : public testing::Test {
 protected:
  using F = Format<Narrow>;
  using Bits = typename F::Bits;
  static constexpr uint32_t kSign = 1u << (8 * sizeof(Bits) - 1);
  static constexpr bool kHasInfinity = F::kBeyond != F::kNan;

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

  NarrowTypes() {
    for (uint32_t m = 0; m <= F::kBeyond; ++m) values_.push_back(ValueOf(m));
  }

  // Returns the pattern nearest to `value`; of two equally near ones the even
  // one.
  Bits Nearest(double value) const {
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
    if (bits == F::kBeyond && !kHasInfinity) return F::kNan;
    return static_cast<Bits>(bits | (std::signbit(value) ? kSign : 0));
  }

  template <class T>
  static Bits Rounded(T value) {
    Narrow narrow;
    StoreRounded(value, &narrow);
    return narrow.bits;
  }

  std::vector<double> values_;
};

using Types = testing::Types<BFloat16, Float16, Float8E4M3Fn, Float8E5M2>;
TYPED_TEST_SUITE(NarrowTypes, Types);

TYPED_TEST(NarrowTypes, EveryPatternHasTheValueOfItsFormatAndComesBack) {
  using Layout = Format<TypeParam>;
  for (uint32_t bits = 0; bits < 2 * this->kSign; ++bits) {
    const float value =
        FloatOf(TypeParam{static_cast<typename Layout::Bits>(bits)});
    const uint32_t magnitude = bits & (this->kSign - 1);
    ASSERT_EQ(std::signbit(value), bits >= this->kSign) << bits;
    uint32_t back = bits;
    if (magnitude < Layout::kBeyond) {
      ASSERT_EQ(std::fabs(value), this->ValueOf(magnitude)) << bits;
    } else if (magnitude == Layout::kBeyond && this->kHasInfinity) {
      ASSERT_TRUE(std::isinf(value)) << bits;
    } else {
      ASSERT_TRUE(std::isnan(value)) << bits;
      back = Layout::kNan;
    }
    ASSERT_EQ(this->Rounded(value), back);
    ASSERT_EQ(this->Rounded(static_cast<double>(value)), back);
  }
}

// Rounding goes wrong at the middle between two neighbours and next to it, in
// float32 and in float64. A conversion of float64 by way of float32 rounds
// twice.
TYPED_TEST(NarrowTypes, TiesGoToTheEvenOneAndTheirNeighboursToTheNearest) {
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

TYPED_TEST(NarrowTypes, RandomPatternsOfEveryExponentGoToTheNearest) {
  constexpr unsigned kSeed = 20;
  constexpr int kExponents = Format<TypeParam>::kExponents;
  std::mt19937_64 random(kSeed);
  for (int trial = 0; trial < 1'000'000; ++trial) {
    const auto narrow =
        std::bit_cast<float>(static_cast<uint32_t>(random() >> 32));
    ASSERT_EQ(this->Rounded(narrow), this->Nearest(narrow))
        << narrow << ", seed " << kSeed;
    const double wide =
        std::ldexp(std::bit_cast<double>(random() >> 12 | 0x3ff0000000000000u),
                   static_cast<int>(random() % kExponents) - kExponents / 2);
    ASSERT_EQ(this->Rounded(-wide), this->Nearest(-wide))
        << wide << ", seed " << kSeed;
  }
}

TYPED_TEST(NarrowTypes, EveryNanBecomesTheCanonicalOne) {
  using Layout = Format<TypeParam>;
  for (const uint32_t bits : {0x7f800001u, 0xffc00000u, 0xffffffffu}) {
    EXPECT_EQ(this->Rounded(std::bit_cast<float>(bits)), Layout::kNan);
  }
  for (const uint64_t bits : {0x7ff0000000000001u, 0xfff8000000000000u}) {
    EXPECT_EQ(this->Rounded(std::bit_cast<double>(bits)), Layout::kNan);
  }
}

TYPED_TEST(NarrowTypes, AreNarrowedAndWidenedByTheirNumbersToo) {
  using Layout = Format<TypeParam>;
  for (uint32_t m = 0; m < Layout::kBeyond; ++m) {
    const auto bits = static_cast<uint16_t>(m | this->kSign);
    ASSERT_EQ(NarrowToDouble(Layout::kType, bits), -this->values_[m]);
    ASSERT_EQ(DoubleToNarrow(Layout::kType, -this->values_[m]), bits);
  }
}

}  // namespace
}  // namespace lossd
