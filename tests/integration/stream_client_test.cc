// Tests how the C++ client streams a large request.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/data_type.h"
#include "client/cpp/client.h"
#include "client/cpp/message/stream_writer.h"
#include "element_type/half.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using client::LossRequest;
using client::TensorView;

class StreamClient : public testing::Test {
 protected:
  StreamClient() {
    for (size_t i = 0; i < logits_.size(); ++i) {
      logits_[i] = static_cast<float>(static_cast<int>(i * 37 % 201) - 100) / 8;
      targets_[i] = static_cast<float>(i % 2);
      weights_[i] = static_cast<float>(i % 4);
    }
  }

  std::unique_ptr<client::Client> ClientThatStreamsAbove(int64_t bytes) {
    return *client::Client::Create(
        {.target = server_.server().address(), .stream_above_bytes = bytes});
  }

  void ExpectSameBits(const LossRequest& request) {
    auto unary = ClientThatStreamsAbove(1 << 30)->ComputeLoss(request);
    auto stream = ClientThatStreamsAbove(0)->ComputeLoss(request);
    ASSERT_TRUE(unary.ok()) << unary.status();
    ASSERT_TRUE(stream.ok()) << stream.status();
    EXPECT_EQ(stream->loss, unary->loss);
    EXPECT_EQ(stream->normalizer, unary->normalizer);
    EXPECT_EQ(stream->valid_count, unary->valid_count);
    EXPECT_EQ(stream->execution.backend(), unary->execution.backend());
    ASSERT_EQ(stream->gradient.has_value(), unary->gradient.has_value());
    if (unary->gradient) {
      EXPECT_EQ(stream->gradient->shape(), unary->gradient->shape());
      EXPECT_TRUE(std::ranges::equal(stream->gradient->Contiguous(),
                                     unary->gradient->Contiguous()));
    }
    ASSERT_EQ(stream->second_derivative.has_value(),
              unary->second_derivative.has_value());
    if (unary->second_derivative) {
      EXPECT_TRUE(std::ranges::equal(stream->second_derivative->Contiguous(),
                                     unary->second_derivative->Contiguous()));
    }
    ASSERT_EQ(stream->losses.has_value(), unary->losses.has_value());
    if (unary->losses) {
      EXPECT_TRUE(std::ranges::equal(stream->losses->Contiguous(),
                                     unary->losses->Contiguous()));
    }
  }

  static constexpr int64_t kRows = 1001, kColumns = 301;
  std::vector<float> logits_ = std::vector<float>(kRows * kColumns);
  std::vector<float> targets_ = logits_, weights_ = logits_;
  RunningServer server_;
  LossRequest request_{
      .logits = TensorView::Of<float>(logits_, {kRows, kColumns}),
      .targets = TensorView::Of<float>(targets_, {kRows, kColumns})};
};

TEST_F(StreamClient, GetsTheBitsOfTheUnaryCall) {
  ExpectSameBits(request_);
  server_.CountAll();
  EXPECT_EQ(server_.Counter("lossd_requests_total", "StreamLoss"), 1);
}

TEST_F(StreamClient, GetsTheBitsOfTheUnaryCallInFloat8) {
  std::vector<std::byte> logits(logits_.size()), bits((logits.size() + 7) / 8);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<std::byte>(i * 37 % 0x78);
    bits[i / 8] |= static_cast<std::byte>(i % 3 == 0 ? 1 << (i % 8) : 0);
  }
  request_.spec.set_reduction(v1::REDUCTION_SUM);
  request_.targets = TensorView{v1::DATA_TYPE_BIT, {kRows, kColumns}, bits};
  for (const v1::DataType dtype :
       {v1::DATA_TYPE_FLOAT8_E4M3FN, v1::DATA_TYPE_FLOAT8_E5M2}) {
    request_.logits = {dtype, {kRows, kColumns}, logits};
    request_.spec.clear_gradient_dtype();
    ExpectSameBits(request_);
    request_.spec.set_gradient_dtype(v1::DATA_TYPE_FLOAT32);
    ExpectSameBits(request_);
  }
}

TEST_F(StreamClient, SendsWeightsOfEveryShape) {
  request_.weights = TensorView::Of<float>(weights_, {kRows, kColumns});
  request_.pos_weight =
      TensorView::Of<float>(std::span(weights_).first(kColumns));
  request_.upstream_gradient =
      TensorView::Of<float>(std::span(weights_).subspan(3, 1));
  ExpectSameBits(request_);
}

TEST_F(StreamClient, GetsLossesAndTakesIdentityTargets) {
  request_.spec.set_reduction(v1::REDUCTION_NONE);
  request_.spec.set_gradient_dtype(v1::DATA_TYPE_BFLOAT16);
  request_.upstream_gradient =
      TensorView::Of<float>(weights_, {kRows, kColumns});
  request_.targets = client::IdentityTargets{2};
  ExpectSameBits(request_);
}

// Weights other than 0 and 1 are multiplied before the scale here, and after it
// in a unary call.
TEST_F(StreamClient, ScalesWhatOnlyTheEndKnows) {
  request_.spec.set_normalizer(v1::NORMALIZER_WEIGHT_SUM);
  request_.weights = TensorView::Of<float>(weights_, {kRows, kColumns});
  auto unary = ClientThatStreamsAbove(1 << 30)->ComputeLoss(request_);
  auto stream = ClientThatStreamsAbove(0)->ComputeLoss(request_);
  ASSERT_TRUE(unary.ok() && stream.ok()) << unary.status() << stream.status();
  EXPECT_EQ(stream->loss, unary->loss);
  const std::span<const float> expected = *unary->gradient->As<float>();
  const std::span<const float> gradient = *stream->gradient->As<float>();
  ASSERT_EQ(gradient.size(), expected.size());
  for (size_t i = 0; i < gradient.size(); ++i) {
    ASSERT_NEAR(gradient[i], expected[i], std::fabs(expected[i]) * 0x1p-22);
  }
}

// Returns the logits of class StreamClient as elements of a floating-point
// type.
std::vector<std::byte> Stored(const std::vector<float>& logits,
                              ElementType type) {
  std::vector<std::byte> bytes(ByteSize(type, logits.size()));
  WithStoredFloat(type, [&](auto element) {
    for (size_t i = 0; i < logits.size(); ++i) {
      StoreRounded(logits[i], &element);
      std::memcpy(bytes.data() + i * sizeof(element), &element,
                  sizeof(element));
    }
  });
  return bytes;
}

TEST_F(StreamClient, ScalesDerivativesOfEveryTypeToTheBitsOfTheUnaryCall) {
  std::vector<uint8_t> targets(logits_.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    targets[i] = i % 7 == 0 ? 255 : i % 2;
  }
  request_.targets = TensorView::Of<uint8_t>(targets, {kRows, kColumns});
  request_.spec.set_normalizer(v1::NORMALIZER_VALID);
  request_.spec.set_ignore_target(255);
  request_.spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
  const std::vector<float> pos_weight = {1000};
  request_.pos_weight = TensorView::Of<float>(pos_weight);
  const std::vector<float> upstream = {3000.0F * kRows * kColumns};
  const TensorView large = TensorView::Of<float>(upstream);
  for (const ElementType type : kFloatTypes) {
    const std::vector<std::byte> logits = Stored(logits_, type);
    request_.logits = {ToProto(type), {kRows, kColumns}, logits};
    for (const ElementType wanted : kFloatTypes) {
      SCOPED_TRACE(testing::Message() << Name(type) << " " << Name(wanted));
      request_.spec.set_gradient_dtype(ToProto(wanted));
      request_.upstream_gradient = std::nullopt;
      ExpectSameBits(request_);
      request_.upstream_gradient = large;
      ExpectSameBits(request_);
    }
  }
}

TEST_F(StreamClient, PutsAScaledGradientOfFloat8WhereItIsWanted) {
  const std::vector<std::byte> logits(5000, std::byte{0xD0});  // -8 in E4M3FN
  std::vector<uint8_t> targets(5000);
  targets[0] = 255;
  const std::vector<float> upstream = {1024.0F * 4999};
  request_.logits = {v1::DATA_TYPE_FLOAT8_E4M3FN, {5000}, logits};
  request_.targets = TensorView::Of<uint8_t>(targets);
  request_.upstream_gradient = TensorView::Of<float>(upstream);
  request_.spec.set_normalizer(v1::NORMALIZER_VALID);
  request_.spec.set_ignore_target(255);
  std::vector<std::byte> gradient(5000);
  const auto stream = ClientThatStreamsAbove(0)->ComputeLoss(
      request_, {.gradient_destination = gradient});
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ(gradient[0], std::byte{0});
  EXPECT_EQ(std::ranges::count(gradient, std::byte{0x2B}), 4999);  // 0.34375
}

TEST_F(StreamClient, PutsTheGradientWhereItIsWanted) {
  std::vector<float> gradient(logits_.size());
  auto unary = ClientThatStreamsAbove(1 << 30)->ComputeLoss(request_);
  auto stream = ClientThatStreamsAbove(0)->ComputeLoss(
      request_,
      {.gradient_destination = std::as_writable_bytes(std::span(gradient))});
  ASSERT_TRUE(unary.ok() && stream.ok());
  EXPECT_TRUE(std::ranges::equal(gradient, *unary->gradient->As<float>()));
}

TEST_F(StreamClient, PassesTheServersErrorsOn) {
  logits_[200000] = NAN;
  const auto nan = ClientThatStreamsAbove(0)->ComputeLoss(request_);
  EXPECT_EQ(nan.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(nan.status().message()),
              testing::HasSubstr("logits[200000]: NaN"));
  request_.targets =
      TensorView::Of<float>(std::span(targets_).first(kRows), {kRows});
  const auto shape = ClientThatStreamsAbove(0)->ComputeLoss(request_);
  EXPECT_THAT(std::string(shape.status().message()),
              testing::HasSubstr("targets_shape: [1001]"));
}

TEST_F(StreamClient, EndsAtItsDeadline) {
  const auto result = ClientThatStreamsAbove(0)->ComputeLoss(
      request_, {.deadline = absl::Now() - absl::Seconds(1)});
  EXPECT_EQ(result.status().code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace lossd
