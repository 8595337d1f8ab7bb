#include "client/cpp/message/derivative_scaling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "base/data_type.h"

namespace lossd::client {
namespace {

using testing::ElementsAre;

template <typename T>
Elements Of(v1::DataType dtype, std::span<T> elements) {
  return {dtype, std::as_writable_bytes(elements)};
}

// Returns a request whose mean counts the targets that are not ignored.
LossRequest CountedMean(v1::DataType logits) {
  LossRequest request;
  request.logits.dtype = logits;
  request.spec.set_normalizer(v1::NORMALIZER_VALID);
  request.spec.set_ignore_target(255);
  return request;
}

TEST(DerivativeType, IsThatOfTheLogitsUnlessAnotherIsAskedFor) {
  LossRequest request;
  request.logits.dtype = v1::DATA_TYPE_UNSPECIFIED;
  EXPECT_EQ(DerivativeType(request), v1::DATA_TYPE_FLOAT32);
  request.logits.dtype = v1::DATA_TYPE_FLOAT8_E5M2;
  EXPECT_EQ(DerivativeType(request), v1::DATA_TYPE_FLOAT8_E5M2);
  request.spec.set_gradient_dtype(v1::DATA_TYPE_FLOAT16);
  EXPECT_EQ(DerivativeType(request), v1::DATA_TYPE_FLOAT16);
}

TEST(SentDerivativeType, IsAtLeastTheArithmeticsWhereTheClientScales) {
  for (const ElementType logits : kFloatTypes) {
    const bool is_wide = logits == ElementType::kFloat64;
    for (const ElementType wanted : kFloatTypes) {
      LossRequest request = CountedMean(ToProto(logits));
      request.spec.set_gradient_dtype(ToProto(wanted));
      EXPECT_EQ(SentDerivativeType(request),
                is_wide || wanted == ElementType::kFloat64
                    ? v1::DATA_TYPE_FLOAT64
                    : v1::DATA_TYPE_FLOAT32);
    }
  }
}

TEST(SentDerivativeType, IsTheResultsWhereTheServerScales) {
  const v1::DataType float8 = v1::DATA_TYPE_FLOAT8_E4M3FN;
  LossRequest request = CountedMean(float8);
  request.spec.clear_ignore_target();
  EXPECT_EQ(SentDerivativeType(request), float8);
  request.spec.set_normalizer(v1::NORMALIZER_WEIGHT_SUM);
  EXPECT_EQ(SentDerivativeType(request), float8);
  request.weights = TensorView();
  EXPECT_EQ(SentDerivativeType(request), v1::DATA_TYPE_FLOAT32);
  request.spec.set_reduction(v1::REDUCTION_SUM);
  EXPECT_EQ(SentDerivativeType(request), float8);
}

TEST(SentDerivativeType, LeavesATypeThatTheServerRefusesToIt) {
  LossRequest request = CountedMean(v1::DATA_TYPE_FLOAT32);
  request.spec.set_gradient_dtype(v1::DATA_TYPE_UINT8);
  EXPECT_EQ(SentDerivativeType(request), v1::DATA_TYPE_UINT8);
}

TEST(Scale, MultipliesAsTheServersArithmeticDoes) {
  const double third = 1.0 / 3;
  float single = 1.0F + 0x1p-23F;
  const Elements in_single = Of(v1::DATA_TYPE_FLOAT32, std::span(&single, 1));
  Scale(v1::DATA_TYPE_BFLOAT16, third, in_single, in_single);
  EXPECT_EQ(single, (1.0F + 0x1p-23F) * static_cast<float>(third));
  double wide = 3;
  const Elements in_double = Of(v1::DATA_TYPE_FLOAT64, std::span(&wide, 1));
  Scale(v1::DATA_TYPE_FLOAT64, third, in_double, in_double);
  EXPECT_EQ(wide, 3 * third);
  Scale(v1::DATA_TYPE_FLOAT32, third, in_double, in_double);
  EXPECT_EQ(wide, static_cast<float>(3 * third) * static_cast<float>(third));
}

TEST(Scale, RoundsToTheResultsType) {
  std::vector<float> wide = {0x1p-12F, -1000, 17, NAN};
  std::vector<uint8_t> float8(4);
  const Elements sent = Of(v1::DATA_TYPE_FLOAT32, std::span(wide));
  Scale(v1::DATA_TYPE_FLOAT8_E4M3FN, 1.0 / 16, sent,
        Of(v1::DATA_TYPE_FLOAT8_E4M3FN, std::span(float8)));
  EXPECT_THAT(float8, ElementsAre(0x00, 0xE8, 0x38, 0x7F));  // -64 and 1
  Scale(v1::DATA_TYPE_FLOAT8_E4M3FN, 1024, sent,
        Of(v1::DATA_TYPE_FLOAT8_E4M3FN, std::span(float8)));
  EXPECT_THAT(float8, ElementsAre(0x28, 0x7F, 0x7F, 0x7F));
  std::vector<uint16_t> halves(4);
  Scale(v1::DATA_TYPE_FLOAT32, 0x1p120, sent,
        Of(v1::DATA_TYPE_BFLOAT16, std::span(halves)));
  EXPECT_THAT(halves, ElementsAre(0x7580, 0xFF80, 0x7D88, 0x7FC0));
}

}  // namespace
}  // namespace lossd::client
