#include "bench/peers/triton_messages.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>

namespace lossd::bench {
namespace {

using std::string_view_literals::operator""sv;

// These bytes are the float32 elements 1 and -2.
constexpr std::string_view kTwoFloats = "\0\0\x80\x3f\0\0\0\xc0"sv;

v1::ComputeLossRequest TwoElements() {
  v1::ComputeLossRequest request;
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets()}) {
    tensor->set_dtype(v1::DATA_TYPE_FLOAT32);
    tensor->add_shape(2);
    tensor->set_data(std::string(kTwoFloats));
  }
  return request;
}

// Triton writes the shape of an output as a packed field.
constexpr std::string_view kLossOutput =
    "\x2a\x10\x0a\x04LOSS\x12\x04"
    "FP32\x1a\x02\x01\x01"sv;
constexpr std::string_view kGradientOutput =
    "\x2a\x14\x0a\x08GRADIENT\x12\x04"
    "FP32\x1a\x02\x01\x02"sv;

std::string Concat(std::initializer_list<std::string_view> parts) {
  std::string whole;
  for (std::string_view part : parts) whole += part;
  return whole;
}

TEST(TritonMessagesTest, ARequestNamesTheModelAndCarriesRawTensors) {
  const auto written = TritonRequest(TwoElements());
  ASSERT_TRUE(written.ok()) << written.status();
  EXPECT_EQ(*written,
            Concat({"\x0a\x0d"
                    "cross_entropy"sv,
                    "\x2a\x12\x0a\x06LOGITS\x12\x04"
                    "FP32\x18\x01\x18\x02"sv,
                    "\x2a\x13\x0a\x07TARGETS\x12\x04"
                    "FP32\x18\x01\x18\x02"sv,
                    "\x3a\x08"sv, kTwoFloats, "\x3a\x08"sv, kTwoFloats}));
}

TEST(TritonMessagesTest, ARequestThatTheModelCannotTakeIsUnimplemented) {
  v1::ComputeLossRequest bits = TwoElements();
  bits.mutable_targets()->set_dtype(v1::DATA_TYPE_BIT);
  EXPECT_EQ(TritonRequest(bits).status().code(),
            absl::StatusCode::kUnimplemented);
  v1::ComputeLossRequest options = TwoElements();
  options.mutable_spec()->set_reduction(v1::REDUCTION_SUM);
  EXPECT_EQ(TritonRequest(options).status().code(),
            absl::StatusCode::kUnimplemented);
}

TEST(TritonMessagesTest, OutputsAreFoundByNameInAnyOrder) {
  const std::string_view loss_content = "\x32\x04\0\0\0\x3f"sv;  // 0.5
  const std::string gradient_content = Concat({"\x32\x08"sv, kTwoFloats});
  for (const std::string& reply :
       {Concat({kLossOutput, kGradientOutput, loss_content, gradient_content}),
        Concat(
            {kGradientOutput, kLossOutput, gradient_content, loss_content})}) {
    const auto response = FromTriton(reply);
    ASSERT_TRUE(response.ok()) << response.status();
    EXPECT_EQ(response->loss(), 0.5);
    EXPECT_EQ(response->gradient().dtype(), v1::DATA_TYPE_FLOAT32);
    EXPECT_EQ(response->gradient().data(), kTwoFloats);
  }
}

TEST(TritonMessagesTest, AMalformedReplyIsAnErrorThatSaysWhatIsMissing) {
  EXPECT_EQ(FromTriton("\x0f").status().message(),
            "the reply is not a ModelInferResponse");
  EXPECT_EQ(FromTriton(Concat({kLossOutput, "\x32\x04\0\0\0\x3f"sv}))
                .status()
                .message(),
            "the reply has no raw output named GRADIENT");
  EXPECT_EQ(FromTriton(Concat({kLossOutput, kGradientOutput, "\x32\x00"sv,
                               "\x32\x00"sv}))
                .status()
                .message(),
            "the loss is not one float32");
}

}  // namespace
}  // namespace lossd::bench
