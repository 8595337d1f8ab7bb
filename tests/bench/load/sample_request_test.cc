#include "bench/load/sample_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace lossd::bench {
namespace {

TEST(SampleRequestTest, MakesEveryTypeInItsSize) {
  const std::pair<const char*, size_t> types[] = {
      {"float32", 40}, {"float64", 80}, {"bfloat16", 20}, {"float16", 20}};
  for (const auto& [dtype, bytes] : types) {
    const auto sample = MakeSample({.elements = 10, .dtype = dtype});
    ASSERT_TRUE(sample.ok()) << sample.status();
    EXPECT_EQ(sample->logits().data().size(), bytes) << dtype;
  }
  const auto bits = MakeSample({.elements = 10, .targets_dtype = "bit"});
  ASSERT_TRUE(bits.ok()) << bits.status();
  EXPECT_EQ(bits->targets().data().size(), 2u);
}

TEST(SampleRequestTest, MakesEveryTypeThatAShellOffers) {
  for (const char* dtype : kSampleTypes) {
    EXPECT_TRUE(MakeSample({.dtype = dtype, .gradient_dtype = dtype}).ok());
  }
  for (const char* dtype : kTargetTypes) {
    EXPECT_TRUE(MakeSample({.targets_dtype = dtype}).ok()) << dtype;
  }
}

TEST(SampleRequestTest, RefusesATypeThatItsTensorCannotHave) {
  EXPECT_FALSE(MakeSample({.dtype = "bit"}).ok());
  EXPECT_FALSE(MakeSample({.targets_dtype = "int7"}).ok());
  EXPECT_FALSE(MakeSample({.gradient_dtype = "uint8"}).ok());
}

// One seed draws equal targets in every type, so two types can be compared.
TEST(SampleRequestTest, BitsAreTheBytesPacked) {
  const auto bytes = MakeSample({.elements = 100, .targets_dtype = "uint8"});
  const auto bits = MakeSample({.elements = 100, .targets_dtype = "bit"});
  ASSERT_TRUE(bytes.ok());
  ASSERT_TRUE(bits.ok());
  int ones = 0;
  for (size_t i = 0; i < 100; ++i) {
    const int bit = (bits->targets().data()[i / 8] >> (i % 8)) & 1;
    ASSERT_EQ(bit, bytes->targets().data()[i]) << i;
    ones += bit;
  }
  EXPECT_GT(ones, 20);
  EXPECT_LT(ones, 80);
}

TEST(SampleRequestTest, ChecksTheTypeOfTheGradient) {
  const auto sample = MakeSample({.elements = 1, .gradient_dtype = "bfloat16"});
  ASSERT_TRUE(sample.ok());
  v1::ComputeLossResponse response;
  response.mutable_gradient()->set_dtype(v1::DATA_TYPE_FLOAT32);
  response.mutable_gradient()->set_data("1234");
  EXPECT_EQ(CheckAnswer(*sample, response.SerializeAsString()).message(),
            "the reply's gradient has the wrong size");
}

TEST(SampleRequestTest, AGradientOfZerosIsNoAnswerInAnyType) {
  for (const char* dtype : kSampleTypes) {
    const auto sample = MakeSample({.elements = 5000, .dtype = dtype});
    ASSERT_TRUE(sample.ok());
    v1::ComputeLossResponse response;
    response.mutable_gradient()->set_dtype(GradientType(*sample));
    response.mutable_gradient()->set_data(
        std::string(GradientBytes(*sample), '\0'));
    EXPECT_THAT(
        std::string(
            CheckAnswer(*sample, response.SerializeAsString()).message()),
        testing::StartsWith("gradient["))
        << dtype;
  }
}

}  // namespace
}  // namespace lossd::bench
