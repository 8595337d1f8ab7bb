#include "server/request/typed_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace lossd::request {
namespace {

using kernels::ElementType;

// Stores a value and returns it as the kernels read it.
double Stored(double value, ElementType type) {
  google::protobuf::RepeatedField<double> values;
  values.Add(value);
  std::vector<std::byte> bytes;
  EXPECT_TRUE(StoreValues("t", values, type, &bytes).ok()) << value;
  const kernels::Piece piece = bytes;
  return kernels::ElementAt({type, std::span(&piece, 1)}, 0);
}

double Decoded(uint16_t bits, ElementType type) {
  const kernels::Piece piece = std::as_bytes(std::span(&bits, 1));
  return kernels::ElementAt({type, std::span(&piece, 1)}, 0);
}

class Halves : public testing::TestWithParam<ElementType> {};

TEST_P(Halves, EveryValueIsStoredAsItself) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double value = Decoded(static_cast<uint16_t>(bits), GetParam());
    const double stored = Stored(value, GetParam());
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(stored)) << bits;
    } else {
      ASSERT_EQ(stored, value) << bits;
      ASSERT_EQ(std::signbit(stored), std::signbit(value)) << bits;
    }
  }
}

// Tests values below, at and above the middle of two neighbours; the middle
// goes to the even one. Positive values have the order of their bits.
TEST_P(Halves, AValueBetweenTwoGoesToTheNearestAndTiesToEven) {
  const uint32_t infinity =
      GetParam() == ElementType::kBFloat16 ? 0x7F80 : 0x7C00;
  for (uint32_t bits = 0; bits + 1 < infinity; ++bits) {
    const double low = Decoded(static_cast<uint16_t>(bits), GetParam());
    const double high = Decoded(static_cast<uint16_t>(bits + 1), GetParam());
    const double middle = (low + high) / 2;
    ASSERT_EQ(Stored(middle, GetParam()), bits % 2 == 0 ? low : high) << bits;
    ASSERT_EQ(Stored(-std::nextafter(middle, 0), GetParam()), -low) << bits;
    ASSERT_EQ(Stored(std::nextafter(middle, 2 * high), GetParam()), high)
        << bits;
  }
}

TEST_P(Halves, AValueThatRoundsBeyondTheLargestIsRefused) {
  const uint16_t largest =
      GetParam() == ElementType::kBFloat16 ? 0x7F7F : 0x7BFF;
  const double high = Decoded(largest, GetParam());
  const double step =
      high - Decoded(static_cast<uint16_t>(largest - 1), GetParam());
  EXPECT_EQ(Stored(std::nextafter(high + step / 2, 0), GetParam()), high);
  google::protobuf::RepeatedField<double> values;
  values.Add(high + step / 2);
  std::vector<std::byte> bytes;
  EXPECT_TRUE(
      absl::IsInvalidArgument(StoreValues("t", values, GetParam(), &bytes)));
}

INSTANTIATE_TEST_SUITE_P(TypedValues, Halves,
                         testing::Values(ElementType::kBFloat16,
                                         ElementType::kFloat16));

class Float8s : public testing::TestWithParam<ElementType> {};

TEST_P(Float8s, EveryValueIsStoredAsItself) {
  for (uint16_t bits = 0; bits < 0x100; ++bits) {
    const double value = Decoded(bits, GetParam());
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(Stored(value, GetParam()))) << bits;
    } else {
      EXPECT_EQ(Stored(value, GetParam()), value) << bits;
      EXPECT_EQ(NearestElement(GetParam(), value), value) << bits;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TypedValues, Float8s,
                         testing::Values(ElementType::kFloat8E4M3Fn,
                                         ElementType::kFloat8E5M2));

TEST(TypedValues, AFloat8ThatIsTooLargeIsRefusedAndSoIsAnInfinityItLacks) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto message = [](ElementType type, double value) {
    google::protobuf::RepeatedField<double> values;
    values.Add(1);
    values.Add(value);
    std::vector<std::byte> bytes;
    return std::string(StoreValues("t", values, type, &bytes).message());
  };
  const auto e4m3 = ElementType::kFloat8E4M3Fn, e5m2 = ElementType::kFloat8E5M2;
  EXPECT_EQ(message(e4m3, 464), "");
  EXPECT_EQ(message(e4m3, 465), "t.values[1]: 465 is not a float8_e4m3fn");
  EXPECT_EQ(message(e4m3, infinity), "t.values[1]: inf is not a float8_e4m3fn");
  EXPECT_EQ(message(e5m2, infinity), "");
  EXPECT_EQ(message(e5m2, 61440), "t.values[1]: 61440 is not a float8_e5m2");
  EXPECT_EQ(NearestElement(e4m3, -infinity), -448);
  EXPECT_EQ(NearestElement(e4m3, 500), 448);
  EXPECT_EQ(NearestElement(e5m2, 1e9), infinity);
}

}  // namespace
}  // namespace lossd::request
