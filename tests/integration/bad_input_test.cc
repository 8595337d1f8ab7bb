// A wrong request gets an error that names its mistake, and does not harm the
// server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

// Expects the server to answer a valid request.
void ExpectUnharmed(RunningServer& server) {
  v1::ComputeLossResponse response;
  const grpc::Status status = server.Call(SomeRequest(10), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
}

class BadInput : public testing::Test {
 protected:
  void ExpectRefused(const v1::ComputeLossRequest& request,
                     const std::string& message) {
    v1::ComputeLossResponse response;
    const grpc::Status status = server_.Call(request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT)
        << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(message));
    ExpectUnharmed(server_);
    server_.CountAll();
    EXPECT_EQ(server_.Counter("lossd_requests_total", "INVALID_ARGUMENT"), 1);
  }
  RunningServer server_;
};

TEST_F(BadInput, MismatchedShapes) {
  v1::ComputeLossRequest request = SomeRequest(10);
  SetFloats(request.mutable_targets(), {9}, std::vector<float>(9));
  ExpectRefused(request, "targets.shape: [9] is not the logits' shape [10]");
}

TEST_F(BadInput, BytesThatDoNotFitTheShape) {
  v1::ComputeLossRequest request = SomeRequest(10);
  request.mutable_logits()->set_shape(0, 11);
  ExpectRefused(request,
                "logits.data: 40 bytes, but float32 of shape [11] takes 44");
}

TEST_F(BadInput, TargetOutsideTheUnitInterval) {
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {3}, {0, 0, 0});
  SetFloats(request.mutable_targets(), {3}, {0, 1, 1.5});
  ExpectRefused(request, "targets[2]: 1.5 is not in [0, 1]");
}

TEST_F(BadInput, NanTarget) {
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {2}, {0, 0});
  SetFloats(request.mutable_targets(), {2}, {NAN, 0});
  ExpectRefused(request, "targets[0]: NaN is not in [0, 1]");
}

TEST_F(BadInput, NanLogitDeepInALargeRequest) {
  v1::ComputeLossRequest request = SomeRequest(100000);
  std::vector<float> logits = Floats(request.logits());
  logits[70000] = NAN;
  logits[90000] = NAN;
  SetFloats(request.mutable_logits(), {100000}, logits);
  ExpectRefused(request, "logits[70000]: NaN");
}

TEST_F(BadInput, ALogitOfAMatrixIsNamedByRowAndColumn) {
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {2, 4}, {0, 0, 0, 0, 0, 0, 0, NAN});
  SetFloats(request.mutable_targets(), {2, 4}, {0, 0, 0, 0, 0, 0, 0, 0});
  ExpectRefused(request,
                "logits[7]: NaN, and spec.nan_policy is NAN_POLICY_REJECT "
                "(element [1, 3] of shape [2, 4])");
}

// The targets' shape may differ from the logits' shape.
TEST_F(BadInput, ATargetIsNamedByItsIndexInTheTargetsShape) {
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {2, 4}, {0, 0, 0, 0, 0, 0, 0, 0});
  SetFloats(request.mutable_targets(), {2, 1, 4}, {0, 0, 0, 0, 0, 0, 2, 0});
  ExpectRefused(
      request,
      "targets[6]: 2 is not in [0, 1] (element [1, 0, 2] of shape [2, 1, 4])");
}

TEST_F(BadInput, NormalizerValueZero) {
  v1::ComputeLossRequest request = SomeRequest(10);
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_CALLER);
  ExpectRefused(request, "spec.normalizer_value: 0");
}

TEST_F(BadInput, WeightsThatCannotBroadcast) {
  v1::ComputeLossRequest request = SomeRequest(10);
  SetFloats(request.mutable_weights(), {3}, {1, 1, 1});
  ExpectRefused(
      request,
      "weights.shape: [3] does not broadcast to the logits' shape [10]");
}

TEST_F(BadInput, UpstreamGradientOfTheWrongShape) {
  v1::ComputeLossRequest request = SomeRequest(10);
  SetFloats(request.mutable_upstream_gradient(), {10}, std::vector<float>(10));
  ExpectRefused(request, "upstream_gradient.shape: [10]");
}

TEST_F(BadInput, TruncatedAndGarbageMessages) {
  const std::string whole = SomeRequest(10).SerializeAsString();
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::string bytes = whole.substr(0, random() % (whole.size() - 1) + 1);
    if (round % 2 == 0) {
      for (char& byte : bytes) byte = static_cast<char>(random());
    }
    EXPECT_EQ(server_.CallRaw(bytes).error_code(), StatusCode::INVALID_ARGUMENT)
        << round;
  }
  EXPECT_EQ(server_.CallRaw("\xff\xff\xff").error_code(),
            StatusCode::INVALID_ARGUMENT);
  ExpectUnharmed(server_);
}

TEST_F(BadInput, SharedMemoryWithoutASocketIsUnimplemented) {
  v1::ComputeLossRequest request = SomeRequest(10);
  request.mutable_logits()->mutable_shared_memory()->set_byte_size(40);
  v1::ComputeLossResponse response;
  const grpc::Status status = server_.Call(request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
  EXPECT_THAT(status.error_message(), HasSubstr("logits.shared_memory"));
}

TEST_F(BadInput, AnExpiredDeadlineIsNeverComputed) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() -
                       std::chrono::seconds(1));
  v1::ComputeLossResponse response;
  const grpc::Status status =
      server_.stub().ComputeLoss(&context, SomeRequest(10), &response);
  EXPECT_EQ(status.error_code(), StatusCode::DEADLINE_EXCEEDED);
  ExpectUnharmed(server_);
}

// gRPC would decompress the message before its size is checked.
TEST_F(BadInput, ACompressedMessageIsUnimplemented) {
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    context.set_compression_algorithm(algorithm);
    v1::ComputeLossResponse response;
    const grpc::Status status =
        server_.stub().ComputeLoss(&context, SomeRequest(10000), &response);
    EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED)
        << status.error_message();
  }
  ExpectUnharmed(server_);
}

TEST(MessageLimit, ALargerMessageIsResourceExhausted) {
  Config config;
  config.max_message_bytes = 1000;
  RunningServer server(config);
  v1::ComputeLossResponse response;
  EXPECT_EQ(server.Call(SomeRequest(1000), &response).error_code(),
            StatusCode::RESOURCE_EXHAUSTED);
  ExpectUnharmed(server);
}

TEST(Disconnection, ACancelledRequestLeavesTheQueue) {
  Config config = OneRpcThread();
  config.max_queue_delay = absl::Seconds(90);
  RunningServer server(config);
  PendingCall call(server, SomeRequest(10));
  ASSERT_TRUE(server.WaitForTaken(1));
  call.Cancel();
  EXPECT_EQ(call.Wait().error_code(), StatusCode::CANCELLED);
  // A request that stays in the queue would outlast this timeout.
  EXPECT_TRUE(server.server().Shutdown(absl::Seconds(60)));
  EXPECT_EQ(server.Counter("lossd_requests_total", "CANCELLED"), 1);
}

}  // namespace
}  // namespace lossd
