#include "client/cpp/tensor/float8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lossd::client {
namespace {

constexpr v1::DataType kTypes[] = {v1::DATA_TYPE_FLOAT8_E4M3FN,
                                   v1::DATA_TYPE_FLOAT8_E5M2};

TEST(Float8, EveryNumberComesBackAsItself) {
  for (const v1::DataType dtype : kTypes) {
    for (uint32_t i = 0; i < 0x100; ++i) {
      const auto bits = static_cast<uint8_t>(i);
      const double value = Float8ToDouble(dtype, bits);
      const auto back = DoubleToFloat8(dtype, value);
      ASSERT_TRUE(back.has_value()) << i;
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(Float8ToDouble(dtype, *back))) << i;
      } else {
        EXPECT_EQ(*back, bits);
      }
    }
  }
}

TEST(Float8, AreNamedByTheirDtypes) {
  for (const v1::DataType dtype : kTypes) EXPECT_TRUE(IsFloat8(dtype));
  EXPECT_FALSE(IsFloat8(v1::DATA_TYPE_UINT8));
  EXPECT_FALSE(IsFloat8(v1::DATA_TYPE_FLOAT16));
}

// Values known from the formats' descriptions.
TEST(Float8, HasTheValuesOfTheFormats) {
  EXPECT_EQ(Float8ToDouble(v1::DATA_TYPE_FLOAT8_E4M3FN, 0x7E), 448);
  EXPECT_EQ(Float8ToDouble(v1::DATA_TYPE_FLOAT8_E4M3FN, 0x81), -0x1p-9);
  EXPECT_EQ(Float8ToDouble(v1::DATA_TYPE_FLOAT8_E5M2, 0x7B), 57344);
  EXPECT_EQ(Float8ToDouble(v1::DATA_TYPE_FLOAT8_E5M2, 0x81), -0x1p-16);
}

TEST(Float8, SaysWhatIsBeyondTheLargest) {
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(DoubleToFloat8(v1::DATA_TYPE_FLOAT8_E4M3FN, -464), 0xFE);
  EXPECT_FALSE(DoubleToFloat8(v1::DATA_TYPE_FLOAT8_E4M3FN, 465).has_value());
  EXPECT_FALSE(
      DoubleToFloat8(v1::DATA_TYPE_FLOAT8_E4M3FN, infinity).has_value());
  EXPECT_FALSE(DoubleToFloat8(v1::DATA_TYPE_FLOAT8_E5M2, 61440).has_value());
  EXPECT_EQ(DoubleToFloat8(v1::DATA_TYPE_FLOAT8_E5M2, -infinity), 0xFC);
}

}  // namespace
}  // namespace lossd::client
