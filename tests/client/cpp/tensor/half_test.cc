#include "client/cpp/tensor/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lossd::client {
namespace {

class HalfTest : public testing::TestWithParam<v1::DataType> {
 protected:
  static uint16_t Infinity() {
    return GetParam() == v1::DATA_TYPE_BFLOAT16 ? 0x7F80 : 0x7C00;
  }
};

TEST_P(HalfTest, EveryValueComesBackAsItself) {
  for (uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const double value = HalfToDouble(GetParam(), bits);
    const auto back = DoubleToHalf(GetParam(), value);
    ASSERT_TRUE(back.has_value()) << bits;
    if ((bits & 0x7FFF) > Infinity()) {
      ASSERT_TRUE(std::isnan(value)) << bits;
      ASSERT_TRUE(std::isnan(HalfToDouble(GetParam(), *back))) << bits;
    } else {
      ASSERT_EQ(*back, bits);
    }
  }
}

TEST_P(HalfTest, RoundsToTheNearestAndTiesToEven) {
  for (uint16_t bits = 0; bits + 1 < Infinity(); ++bits) {
    const double low = HalfToDouble(GetParam(), bits);
    const double high =
        HalfToDouble(GetParam(), static_cast<uint16_t>(bits + 1));
    const double middle = (low + high) / 2;
    ASSERT_LT(low, high);
    ASSERT_EQ(DoubleToHalf(GetParam(), std::nextafter(middle, 0)), bits);
    ASSERT_EQ(DoubleToHalf(GetParam(), middle), bits + bits % 2);
    ASSERT_EQ(DoubleToHalf(GetParam(), std::nextafter(middle, 2 * high)),
              bits + 1);
  }
}

TEST_P(HalfTest, SaysWhatIsBeyondTheLargest) {
  const double largest =
      HalfToDouble(GetParam(), static_cast<uint16_t>(Infinity() - 1));
  EXPECT_EQ(DoubleToHalf(GetParam(), largest), Infinity() - 1);
  EXPECT_FALSE(DoubleToHalf(GetParam(), largest * 1.01).has_value());
  EXPECT_EQ(DoubleToHalf(GetParam(), -std::numeric_limits<double>::infinity()),
            Infinity() | 0x8000);
}

// Values known from the formats' descriptions.
TEST(HalfValues, AreThoseOfTheFormats) {
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_FLOAT16, 0x3C00), 1);
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_FLOAT16, 0x7BFF), 65504);
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_FLOAT16, 0x0001), 0x1p-24);
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_FLOAT16, 0xC000), -2);
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_BFLOAT16, 0x3F80), 1);
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_BFLOAT16, 0x7F7F), 0x1.FEp127);
  EXPECT_EQ(HalfToDouble(v1::DATA_TYPE_BFLOAT16, 0x0001), 0x1p-133);
}

INSTANTIATE_TEST_SUITE_P(Types, HalfTest,
                         testing::Values(v1::DATA_TYPE_BFLOAT16,
                                         v1::DATA_TYPE_FLOAT16));

}  // namespace
}  // namespace lossd::client
