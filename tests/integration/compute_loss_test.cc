// A valid request gets the loss and the gradient that the definition gives.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/integration/running_server.h"

namespace lossd {
namespace {

// Computes the loss of one element from its definition, in long double.
long double Loss(long double x, long double t) {
  return std::fmax(x, 0.0L) - x * t + std::log1p(std::exp(-std::fabs(x)));
}
long double Gradient(long double x, long double t) {
  return 1 / (1 + std::exp(-x)) - t;
}

class RequestSize : public testing::TestWithParam<int64_t> {};

TEST_P(RequestSize, MeanLossAndGradientMatchTheDefinition) {
  RunningServer server;
  v1::ComputeLossRequest request = SomeRequest(GetParam());
  request.set_request_id("one");
  v1::ComputeLossResponse response;
  const grpc::Status status = server.Call(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const std::vector<float> x = Floats(request.logits());
  const std::vector<float> t = Floats(request.targets());
  const std::vector<float> gradient = Floats(response.gradient());
  ASSERT_EQ(gradient.size(), x.size());
  long double sum = 0;
  const long double count = static_cast<long double>(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    sum += Loss(x[i], t[i]);
    const double expected = static_cast<double>(Gradient(x[i], t[i]) / count);
    ASSERT_NEAR(gradient[i], expected, 1e-6 / static_cast<double>(count)) << i;
  }
  const double mean = static_cast<double>(sum / count);
  EXPECT_NEAR(response.loss(), mean, std::fabs(mean) * 1e-6);
  EXPECT_EQ(response.normalizer(), static_cast<double>(count));
  EXPECT_EQ(response.valid_count(), GetParam());
  EXPECT_EQ(response.request_id(), "one");
  EXPECT_EQ(response.execution().backend(), server.server().backend());
  EXPECT_EQ(response.gradient().shape(0), GetParam());
}

// The sizes lie on both sides of three limits: a block, a request that is
// computed inline, and one slice of gRPC.
INSTANTIATE_TEST_SUITE_P(ComputeLoss, RequestSize,
                         testing::Values(1, 64, 2048, 2049, 16384, 16385,
                                         700001));

TEST(ComputeLoss, AnswersAnEmptyTensorWithZero) {
  RunningServer server;
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {0, 3}, {});
  SetFloats(request.mutable_targets(), {0, 3}, {});
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server.Call(request, &response).ok());
  EXPECT_EQ(response.loss(), 0);
  EXPECT_EQ(response.valid_count(), 0);
  EXPECT_TRUE(response.gradient().has_data());
  EXPECT_THAT(response.gradient().shape(), testing::ElementsAre(0, 3));
}

TEST(ComputeLoss, ReturnsLossesWithReductionNone) {
  RunningServer server;
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {2}, {0, 2});
  SetFloats(request.mutable_targets(), {2}, {0, 1});
  request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  SetFloats(request.mutable_upstream_gradient(), {2}, {2, 4});
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server.Call(request, &response).ok());
  EXPECT_EQ(response.loss(), 0);
  const std::vector<float> losses = Floats(response.losses());
  ASSERT_EQ(losses.size(), 2U);
  EXPECT_NEAR(losses[0], std::log(2.0), 1e-6);
  EXPECT_NEAR(losses[1], std::log1p(std::exp(-2.0)), 1e-6);
  const std::vector<float> gradient = Floats(response.gradient());
  EXPECT_NEAR(gradient[0], 1.0, 1e-6);
  EXPECT_NEAR(gradient[1], -4 / (1 + std::exp(2.0)), 1e-6);
}

TEST(ComputeLoss, OmitsTheGradientWhenAsked) {
  RunningServer server;
  v1::ComputeLossRequest request = SomeRequest(5000);
  request.mutable_spec()->set_gradient(v1::GRADIENT_MODE_OMIT);
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server.Call(request, &response).ok());
  EXPECT_FALSE(response.has_gradient());
  EXPECT_GT(response.loss(), 0);
}

TEST(ComputeLoss, BroadcastsWeightsAndCountsValidElements) {
  RunningServer server;
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {2, 2}, {0, 0, 0, 0});
  SetFloats(request.mutable_targets(), {2, 2}, {0, 1, -1, 0});
  SetFloats(request.mutable_weights(), {2}, {1, 3});
  request.mutable_spec()->set_ignore_target(-1);
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  v1::ComputeLossResponse response;
  const grpc::Status status = server.Call(request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.valid_count(), 3);
  EXPECT_EQ(response.normalizer(), 3);
  EXPECT_NEAR(response.loss(), 7 * std::log(2.0) / 3, 1e-6);
  const std::vector<float> gradient = Floats(response.gradient());
  EXPECT_NEAR(gradient[1], -0.5, 1e-6);  // 3 * (0.5 - 1) / 3
  EXPECT_EQ(gradient[2], 0);
}

TEST(ComputeLoss, AnswersTypedValuesWithTypedValues) {
  RunningServer server;
  v1::ComputeLossRequest request;
  for (const double x : {0.5, -1.0}) request.mutable_logits()->add_values(x);
  for (const double t : {1.0, 0.0}) request.mutable_targets()->add_values(t);
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server.Call(request, &response).ok());
  ASSERT_EQ(response.gradient().values_size(), 2);
  EXPECT_NEAR(response.gradient().values(0),
              static_cast<double>(Gradient(0.5L, 1) / 2), 1e-7);
  EXPECT_NEAR(response.loss(),
              static_cast<double>((Loss(0.5L, 1) + Loss(-1, 0)) / 2), 1e-7);
}

TEST(ComputeLoss, GivesTheSameBitsAloneAndInABatch) {
  Config config;
  config.max_queue_delay = absl::Milliseconds(50);
  RunningServer server(config);
  const v1::ComputeLossRequest request = SomeRequest(3001);
  v1::ComputeLossResponse alone;
  ASSERT_TRUE(server.Call(request, &alone).ok());
  int64_t largest_batch = 0;
  // The scheduler decides whether requests meet in a batch.
  for (int round = 0; round < 100 && largest_batch < 2; ++round) {
    std::vector<std::thread> clients;
    std::vector<v1::ComputeLossResponse> responses(16);
    for (v1::ComputeLossResponse& response : responses) {
      clients.emplace_back(
          [&] { EXPECT_TRUE(server.Call(request, &response).ok()); });
    }
    for (std::thread& client : clients) client.join();
    for (const v1::ComputeLossResponse& response : responses) {
      EXPECT_EQ(response.loss(), alone.loss());
      EXPECT_EQ(response.gradient().data(), alone.gradient().data());
      largest_batch = std::max<int64_t>(largest_batch,
                                        response.execution().batch_requests());
    }
  }
  EXPECT_GT(largest_batch, 1);
}

}  // namespace
}  // namespace lossd
