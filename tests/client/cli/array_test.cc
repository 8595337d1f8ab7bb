#include "client/cli/array.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <utility>

namespace lossd::cli {
namespace {

float FloatAt(const Array& array, size_t i) {
  float value = 0;
  std::memcpy(&value, array.bytes.data() + i * sizeof(float), sizeof(float));
  return value;
}

TEST(ArrayTest, ReadsNumbersAsAPersonTypesThem) {
  const auto array =
      ParseNumbers("0.5, -1,1e-3,inf,nan", v1::DATA_TYPE_FLOAT32);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->shape, client::Shape({5}));
  EXPECT_EQ(FloatAt(*array, 0), 0.5f);
  EXPECT_EQ(FloatAt(*array, 1), -1.0f);
  EXPECT_EQ(FloatAt(*array, 2), 1e-3f);
  EXPECT_TRUE(std::isinf(FloatAt(*array, 3)));
  EXPECT_TRUE(std::isnan(FloatAt(*array, 4)));
}

TEST(ArrayTest, Float64NumbersKeepAllTheirBits) {
  const auto array = ParseNumbers("0.1", v1::DATA_TYPE_FLOAT64);
  ASSERT_TRUE(array.ok());
  double value = 0;
  std::memcpy(&value, array->bytes.data(), sizeof(value));
  EXPECT_EQ(value, 0.1);
}

TEST(ArrayTest, HalvesAreRoundedOnce) {
  const auto array = ParseNumbers("1,-2,0.1", v1::DATA_TYPE_BFLOAT16);
  ASSERT_TRUE(array.ok()) << array.status();
  EXPECT_EQ(array->shape, client::Shape({3}));
  const uint16_t expected[] = {0x3F80, 0xC000, 0x3DCD};
  ASSERT_EQ(array->bytes.size(), sizeof(expected));
  EXPECT_EQ(std::memcmp(array->bytes.data(), expected, sizeof(expected)), 0);
  EXPECT_EQ(ParseNumbers("65520", v1::DATA_TYPE_FLOAT16).status().message(),
            "65520 is too large for float16");
}

TEST(ArrayTest, Float8NumbersAreRoundedOnce) {
  const auto array = ParseNumbers("1,-2,0.1", v1::DATA_TYPE_FLOAT8_E4M3FN);
  ASSERT_TRUE(array.ok()) << array.status();
  const uint8_t expected[] = {0x38, 0xC0, 0x1D};
  ASSERT_EQ(array->bytes.size(), sizeof(expected));
  EXPECT_EQ(std::memcmp(array->bytes.data(), expected, sizeof(expected)), 0);
  EXPECT_EQ(ParseNumbers("465", v1::DATA_TYPE_FLOAT8_E4M3FN).status().message(),
            "465 is too large for float8_e4m3fn");
  EXPECT_EQ(ParseNumbers("inf", v1::DATA_TYPE_FLOAT8_E4M3FN).status().message(),
            "inf is too large for float8_e4m3fn");
  EXPECT_TRUE(ParseNumbers("inf", v1::DATA_TYPE_FLOAT8_E5M2).ok());
}

TEST(ArrayTest, NamesWhatIsNoNumberOrDoesNotFit) {
  const auto message = [](const char* text) {
    return std::string(
        ParseNumbers(text, v1::DATA_TYPE_FLOAT32).status().message());
  };
  EXPECT_EQ(
      message("1,two"),
      "\"two\" is neither a number nor a .npy, .npz or .safetensors file");
  EXPECT_EQ(message("1,"),
            "\"\" is neither a number nor a .npy, .npz or .safetensors file");
  EXPECT_EQ(message("1e39"), "1e39 is too large for float32");
}

TEST(ArrayTest, ANumberBeyondFloat64IsNotInfinity) {
  for (const auto& [dtype, name] :
       {std::pair(v1::DATA_TYPE_FLOAT64, "float64"),
        std::pair(v1::DATA_TYPE_FLOAT32, "float32"),
        std::pair(v1::DATA_TYPE_BFLOAT16, "bfloat16"),
        std::pair(v1::DATA_TYPE_FLOAT16, "float16")}) {
    EXPECT_EQ(ParseNumbers("1,1e400", dtype).status().message(),
              std::string("1e400 is too large for ") + name);
    EXPECT_EQ(ParseNumbers("-1e309", dtype).status().message(),
              std::string("-1e309 is too large for ") + name);
    EXPECT_TRUE(ParseNumbers("inf,-inf,+Infinity", dtype).ok());
  }
}

TEST(ArrayTest, ANameThatEndsInNpyIsAFile) {
  EXPECT_EQ(ReadArgument("/no/x.npy", v1::DATA_TYPE_FLOAT32).status().message(),
            "/no/x.npy: No such file or directory");
}

}  // namespace
}  // namespace lossd::cli
