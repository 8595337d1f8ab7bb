#include "client/cpp/message/stream_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

namespace lossd::client {
namespace {

grpc::ByteBuffer BufferOf(const v1::StreamLossResponse& response) {
  const grpc::Slice slice(response.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

grpc::ByteBuffer Gradient(const std::vector<float>& elements) {
  v1::StreamLossResponse response;
  response.set_gradient(elements.data(), elements.size() * sizeof(float));
  return BufferOf(response);
}

grpc::ByteBuffer Summary(std::optional<double> scale = std::nullopt) {
  v1::StreamLossResponse response;
  response.mutable_summary()->set_loss(1.5);
  if (scale) response.mutable_summary()->set_gradient_scale(*scale);
  return BufferOf(response);
}

class Reader : public testing::Test {
 protected:
  StreamReader Create(std::span<std::byte> destination = {}) {
    return *StreamReader::Create(request_, destination);
  }
  const std::vector<float> logits_ = {1, 2, 3};
  LossRequest request_{.logits = TensorView::Of<float>(logits_),
                       .targets = TensorView::Of<float>(logits_)};
};

TEST_F(Reader, PutsTheChunksTogether) {
  StreamReader reader = Create();
  ASSERT_TRUE(reader.Add(Gradient({4, 5})).ok());
  ASSERT_TRUE(reader.Add(Gradient({6})).ok());
  ASSERT_TRUE(reader.Add(Summary()).ok());
  absl::StatusOr<LossResult> result = reader.Finish();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->loss, 1.5);
  EXPECT_THAT(*result->gradient->As<float>(), testing::ElementsAre(4, 5, 6));
}

TEST_F(Reader, KeepsEachResultInItsTypeAndScalesBothDerivatives) {
  request_.spec.set_reduction(v1::REDUCTION_NONE);
  request_.spec.set_losses_dtype(v1::DATA_TYPE_FLOAT64);
  request_.spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
  StreamReader reader = Create();
  const std::vector<double> losses = {7, 8, 9};
  const std::vector<float> second = {1, 2, 3};
  v1::StreamLossResponse response;
  response.set_losses(losses.data(), 24);
  ASSERT_TRUE(reader.Add(BufferOf(response)).ok());
  response.set_second_derivative(second.data(), 12);
  ASSERT_TRUE(reader.Add(BufferOf(response)).ok());
  EXPECT_FALSE(reader.Add(BufferOf(response)).ok());  // more than there are
  ASSERT_TRUE(reader.Add(Gradient({4, 5, 6})).ok());
  ASSERT_TRUE(reader.Add(Summary(0.5)).ok());
  absl::StatusOr<LossResult> result = reader.Finish();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result->losses->As<double>(), testing::ElementsAre(7, 8, 9));
  EXPECT_THAT(*result->gradient->As<float>(), testing::ElementsAre(2, 2.5, 3));
  EXPECT_THAT(*result->second_derivative->As<float>(),
              testing::ElementsAre(0.5, 1, 1.5));
}

TEST_F(Reader, TakesNoMemoryForAShapeThatTheLogitsDoNotHave) {
  for (const int64_t rows : {int64_t{4}, int64_t{1} << 50, int64_t{1} << 60}) {
    request_.logits.shape = {rows};
    const auto reader = StreamReader::Create(request_, {});
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(reader.status().message()),
                testing::StartsWith("logits.data: 12 bytes"));
  }
}

TEST_F(Reader, PutsTheGradientWhereItIsWantedAndScalesIt) {
  std::vector<float> gradient(3);
  StreamReader reader = Create(std::as_writable_bytes(std::span(gradient)));
  ASSERT_TRUE(reader.Add(Gradient({4, 5, 6})).ok());
  ASSERT_TRUE(reader.Add(Summary(0.5)).ok());
  absl::StatusOr<LossResult> result = reader.Finish();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(gradient, testing::ElementsAre(2, 2.5, 3));
  EXPECT_THAT(*result->gradient->As<float>(), testing::ElementsAre(2, 2.5, 3));
}

TEST_F(Reader, RoundsDerivativesThatCameWiderAfterItHasScaledThem) {
  request_.spec.set_normalizer(v1::NORMALIZER_VALID);
  request_.spec.set_ignore_target(255);
  request_.spec.set_gradient_dtype(v1::DATA_TYPE_FLOAT8_E4M3FN);
  for (const std::optional<double> scale : {std::optional(0.5), {}}) {
    std::vector<uint8_t> gradient(3);
    StreamReader reader = Create(std::as_writable_bytes(std::span(gradient)));
    ASSERT_TRUE(reader.Add(Gradient({-500, 2, 0.5})).ok());
    ASSERT_TRUE(reader.Add(Summary(scale)).ok());
    absl::StatusOr<LossResult> result = reader.Finish();
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->gradient->dtype(), v1::DATA_TYPE_FLOAT8_E4M3FN);
    EXPECT_THAT(gradient, scale ? testing::ElementsAre(0xF8, 0x38, 0x28)
                                : testing::ElementsAre(0x7F, 0x40, 0x30));
  }
}

TEST_F(Reader, RefusesADestinationOfTheWrongSize) {
  std::vector<std::byte> small(11);
  EXPECT_EQ(StreamReader::Create(request_, small).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(Reader, TellsWhatNoServerAnswers) {
  StreamReader reader = Create();
  EXPECT_EQ(reader.Add(Gradient({1, 2, 3, 4})).code(),
            absl::StatusCode::kInternal);
  StreamReader few = Create();
  ASSERT_TRUE(few.Add(Gradient({1})).ok());
  ASSERT_TRUE(few.Add(Summary()).ok());
  EXPECT_EQ(few.Finish().status().code(), absl::StatusCode::kInternal);
  StreamReader none = Create();
  EXPECT_EQ(none.Finish().status().code(), absl::StatusCode::kInternal);
  StreamReader garbage = Create();
  const grpc::Slice slice("\x0a\x05x");
  EXPECT_EQ(garbage.Add(grpc::ByteBuffer(&slice, 1)).code(),
            absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace lossd::client
