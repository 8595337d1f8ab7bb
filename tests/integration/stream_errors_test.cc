// Tests every error that a stream can make.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/integration/loss_stream.h"
#include "tests/temporary_path.h"

namespace lossd {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

class StreamErrors : public testing::Test {
 protected:
  void ExpectRefused(const Messages& messages, const std::string& text) {
    const StreamAnswer answer = RunStream(server_, messages);
    EXPECT_EQ(answer.status.error_code(), StatusCode::INVALID_ARGUMENT)
        << answer.status.error_message();
    EXPECT_THAT(answer.status.error_message(), HasSubstr(text));
    EXPECT_FALSE(answer.summary.has_value());
    EXPECT_TRUE(server_.WaitUntilIdle());
    EXPECT_EQ(server_.server().inflight_bytes(), 0);
    // The server goes on working.
    const StreamAnswer good = RunStream(server_, Cut(SomeRequest(10), 5));
    EXPECT_TRUE(good.status.ok()) << good.status.error_message();
  }

  RunningServer server_;
  const v1::ComputeLossRequest request_ = SomeRequest(5000);
  Messages messages_ = Cut(request_, 1000);
};

TEST_F(StreamErrors, NoHeader) {
  ExpectRefused({}, "header: the stream ended before it");
}

TEST_F(StreamErrors, AChunkBeforeTheHeader) {
  messages_.erase(messages_.begin());
  ExpectRefused(messages_, "chunk: before the header");
}

TEST_F(StreamErrors, ASecondHeader) {
  messages_.insert(messages_.begin() + 2, messages_[0]);
  ExpectRefused(messages_, "header: a second one");
}

TEST_F(StreamErrors, AMessageThatIsNeither) {
  messages_.insert(messages_.begin() + 2, v1::StreamLossRequest());
  ExpectRefused(messages_, "neither a header nor a chunk");
}

TEST_F(StreamErrors, MissingBytes) {
  messages_.pop_back();
  ExpectRefused(messages_,
                "chunk.logits: the stream ended after 16000 bytes, but float32 "
                "of shape [5000] takes 20000");
}

TEST_F(StreamErrors, BytesOfOneTensorMissing) {
  messages_.back().mutable_chunk()->clear_targets();
  ExpectRefused(messages_, "chunk.targets: the stream ended after 16000 bytes");
}

TEST_F(StreamErrors, ExtraBytes) {
  v1::StreamLossRequest extra;
  extra.mutable_chunk()->set_targets("x");
  messages_.push_back(extra);
  ExpectRefused(messages_,
                "chunk.targets: 20001 bytes so far, but float32 of shape "
                "[5000] takes 20000");
}

TEST_F(StreamErrors, BytesThatTheHeaderDoesNotAnnounce) {
  messages_[1].mutable_chunk()->set_weights("abcd");
  ExpectRefused(messages_, "chunk.weights: 4 bytes, but the header says");
}

TEST_F(StreamErrors, OneTensorFarAheadOfAnother) {
  const v1::ComputeLossRequest large = SomeRequest(600000);
  Messages messages = {HeaderOf(large)};
  v1::StreamLossRequest logits;
  logits.mutable_chunk()->set_logits(large.logits().data());
  messages.push_back(logits);
  ExpectRefused(messages,
                "chunk: 600000 elements of logits, but only 0 of targets");
}

TEST_F(StreamErrors, ASpecThatMakesNoSense) {
  messages_[0].mutable_header()->mutable_spec()->set_label_smoothing(2);
  ExpectRefused(messages_, "spec.label_smoothing: 2");
}

TEST_F(StreamErrors, ANegativeDimension) {
  messages_[0].mutable_header()->set_shape(0, -1);
  ExpectRefused(messages_, "header.shape: dimension 0 is -1, below 0");
}

TEST_F(StreamErrors, MoreThanTwoToTheSixtyElements) {
  messages_[0].mutable_header()->set_shape(0, int64_t{1} << 31);
  messages_[0].mutable_header()->add_shape(int64_t{1} << 31);
  ExpectRefused(messages_, "is more than 2^60 elements");
}

TEST_F(StreamErrors, LogitsThatAreNoFloats) {
  messages_[0].mutable_header()->set_logits_dtype(v1::DATA_TYPE_INT32);
  ExpectRefused(messages_, "logits.dtype: DATA_TYPE_INT32");
}

TEST_F(StreamErrors, WeightsBothWholeAndInChunks) {
  v1::StreamLossHeader& header = *messages_[0].mutable_header();
  header.set_weights_dtype(v1::DATA_TYPE_FLOAT32);
  SetFloats(header.mutable_weights(), {1}, {1});
  ExpectRefused(messages_, "header.weights: beside weights_dtype");
}

TEST_F(StreamErrors, WeightsThatDoNotBroadcast) {
  SetFloats(messages_[0].mutable_header()->mutable_weights(), {3}, {1, 1, 1});
  ExpectRefused(messages_, "weights.shape: [3] does not broadcast");
}

TEST_F(StreamErrors, WeightsInSharedMemory) {
  messages_[0]
      .mutable_header()
      ->mutable_weights()
      ->mutable_shared_memory()
      ->set_region("any");
  ExpectRefused(messages_, "header.weights.shared_memory: a stream sends");
}

TEST_F(StreamErrors, WholeTargetsThatAreData) {
  *messages_[0].mutable_header()->mutable_targets() = request_.targets();
  ExpectRefused(messages_, "header.targets: only ones and identity");
}

TEST_F(StreamErrors, TargetsOfAnotherShape) {
  messages_[0].mutable_header()->mutable_targets_shape()->Clear();
  messages_[0].mutable_header()->add_targets_shape(4999);
  ExpectRefused(messages_,
                "header.targets_shape: [4999] is not the logits' shape [5000]");
}

TEST_F(StreamErrors, TargetsOfANegativeShape) {
  messages_[0].mutable_header()->add_targets_shape(-1);
  ExpectRefused(messages_, "header.targets_shape: dimension ");
}

TEST_F(StreamErrors, AnUpstreamGradientInChunksForAReducedLoss) {
  messages_[0].mutable_header()->set_upstream_gradient_dtype(
      v1::DATA_TYPE_FLOAT32);
  ExpectRefused(messages_,
                "header.upstream_gradient_dtype: only losses that are not "
                "reduced");
}

TEST_F(StreamErrors, ADeclaredNormalizerOfZero) {
  v1::StreamLossHeader& header = *messages_[0].mutable_header();
  header.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  header.set_declared_normalizer(0);
  ExpectRefused(messages_, "header.declared_normalizer: 0");
}

TEST_F(StreamErrors, DerivativesOfASmallRangeThatTheClientWouldHaveToScale) {
  v1::StreamLossHeader& header = *messages_[0].mutable_header();
  v1::LossSpec& spec = *header.mutable_spec();
  spec.set_normalizer(v1::NORMALIZER_VALID);
  spec.set_ignore_target(1);
  const std::pair<v1::DataType, std::string> refused[] = {
      {v1::DATA_TYPE_FLOAT16, "float16"},
      {v1::DATA_TYPE_FLOAT8_E4M3FN, "float8_e4m3fn"},
      {v1::DATA_TYPE_FLOAT8_E5M2, "float8_e5m2"}};
  for (const auto& [dtype, name] : refused) {
    spec.set_gradient_dtype(dtype);
    ExpectRefused(messages_, "header.spec.gradient_dtype: " + name +
                                 " with NORMALIZER_VALID, a count that only");
    ExpectRefused(messages_, "in header.declared_normalizer");
    // The server scales, or there is nothing to scale.
    header.set_declared_normalizer(2500);
    EXPECT_TRUE(RunStream(server_, messages_).status.ok());
    header.clear_declared_normalizer();
    spec.set_gradient(v1::GRADIENT_MODE_OMIT);
    EXPECT_TRUE(RunStream(server_, messages_).status.ok());
    spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
    ExpectRefused(messages_, "header.spec.gradient_dtype: " + name);
    spec.clear_second_derivative();
    spec.clear_gradient();
  }
  for (const v1::DataType dtype :
       {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64, v1::DATA_TYPE_BFLOAT16}) {
    spec.set_gradient_dtype(dtype);
    EXPECT_TRUE(RunStream(server_, messages_).status.ok());
  }
}

TEST_F(StreamErrors, NanLogitsAndBadTargetsHaveTheirIndexInTheWholeTensor) {
  v1::ComputeLossRequest large = SomeRequest(400000);
  std::vector<float> logits = Floats(large.logits());
  std::vector<float> targets = Floats(large.targets());
  logits[300001] = NAN;
  targets[150003] = 1.5F;
  SetFloats(large.mutable_logits(), {400000}, logits);
  ExpectRefused(Cut(large, 70000), "logits[300001]: NaN, and spec.nan_policy");
  SetFloats(large.mutable_targets(), {400000}, targets);
  ExpectRefused(Cut(large, 70000), "targets[150003]: 1.5 is not in [0, 1]");
}

TEST_F(StreamErrors, ElementsOfAMatrixHaveTheirPlaceToo) {
  v1::ComputeLossRequest large = SomeRequest(400000);
  std::vector<float> logits = Floats(large.logits());
  std::vector<float> targets = Floats(large.targets());
  targets[150003] = 1.5F;
  SetFloats(large.mutable_logits(), {400, 1000}, logits);
  SetFloats(large.mutable_targets(), {400, 10, 100}, targets);
  large.mutable_spec()->set_target_shape_rule(v1::TARGET_SHAPE_RULE_SAME_COUNT);
  ExpectRefused(Cut(large, 70000),
                "targets[150003]: 1.5 is not in [0, 1] (element [150, 0, 3] of "
                "shape [400, 10, 100])");
  SetFloats(large.mutable_targets(), {400, 1000}, targets);
  Messages messages = Cut(large, 70000);
  messages[0].mutable_header()->clear_targets_shape();
  ExpectRefused(messages, "(element [150, 3] of shape [400, 1000])");
  logits[300001] = NAN;
  SetFloats(large.mutable_logits(), {400, 1000}, logits);
  targets[150003] = 0;
  SetFloats(large.mutable_targets(), {400, 1000}, targets);
  ExpectRefused(Cut(large, 70000), "(element [300, 1] of shape [400, 1000])");
}

TEST_F(StreamErrors, GarbageIsNotAMessage) {
  grpc::ClientContext context;
  OpenStream stream(server_);
  v1::StreamLossRequest garbage;
  garbage.GetReflection()->MutableUnknownFields(&garbage)->AddLengthDelimited(
      1, "\xff\xff");  // an invalid header
  stream.Write(garbage);
  EXPECT_EQ(stream.Finish().error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST(StreamTokens, AreRequired) {
  const TemporaryPath path("tokens");
  std::ofstream(path.string()) << "secret\n";
  Config config;
  config.token_file = path.string();
  RunningServer server(config);
  const Messages messages = Cut(SomeRequest(10), 5);
  EXPECT_EQ(RunStream(server, messages).status.error_code(),
            StatusCode::UNAUTHENTICATED);
  const StreamAnswer answer =
      RunStream(server, messages, [](grpc::ClientContext& context) {
        context.AddMetadata("authorization", "Bearer secret");
      });
  EXPECT_TRUE(answer.status.ok()) << answer.status.error_message();
}

}  // namespace
}  // namespace lossd
