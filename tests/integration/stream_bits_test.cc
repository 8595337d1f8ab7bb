// Tests that a stream gives the bits of the unary call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

#include "client/cpp/tensor/float8.h"
#include "tests/integration/loss_stream.h"
#include "tests/integration/random_request.h"

namespace lossd {
namespace {

void ExpectSameNumbers(const v1::StreamLossSummary& summary,
                       const v1::ComputeLossResponse& unary) {
  EXPECT_EQ(std::bit_cast<uint64_t>(summary.loss()),
            std::bit_cast<uint64_t>(unary.loss()));
  EXPECT_EQ(std::bit_cast<uint64_t>(summary.normalizer()),
            std::bit_cast<uint64_t>(unary.normalizer()));
  EXPECT_EQ(summary.valid_count(), unary.valid_count());
  EXPECT_EQ(summary.nan_count(), unary.nan_count());
  EXPECT_EQ(summary.request_id(), unary.request_id());
}

// Expects the gradient of the plain sum, which the client scales, and in the
// summary the factor by which the unary call multiplies.
void ExpectTheSumsGradient(RunningServer& server,
                           v1::ComputeLossRequest request,
                           const v1::ComputeLossResponse& unary,
                           const StreamAnswer& answer) {
  double scale = unary.normalizer() == 0 ? 0
                                         : (request.spec().has_loss_weight()
                                                ? request.spec().loss_weight()
                                                : 1) /
                                               unary.normalizer();
  if (request.has_upstream_gradient()) {
    scale *= static_cast<double>(Floats(request.upstream_gradient())[0]);
  }
  EXPECT_EQ(answer.summary->gradient_scale(), scale);
  request.mutable_spec()->set_reduction(v1::REDUCTION_SUM);
  request.mutable_spec()->clear_normalizer();
  request.mutable_spec()->clear_loss_weight();
  request.clear_upstream_gradient();
  v1::ComputeLossResponse sum;
  ASSERT_TRUE(server.Call(request, &sum).ok());
  EXPECT_TRUE(answer.gradient == sum.gradient().data());
  EXPECT_TRUE(answer.second_derivative == sum.second_derivative().data());
}

bool AsksForDerivativesOfASmallRange(const v1::ComputeLossRequest& request) {
  const v1::DataType asked = request.spec().gradient_dtype();
  const v1::DataType dtype =
      asked == v1::DATA_TYPE_UNSPECIFIED ? request.logits().dtype() : asked;
  return client::IsFloat8(dtype) || dtype == v1::DATA_TYPE_FLOAT16;
}

// Such derivatives are refused if the client would have to scale them.
bool IsRefusedForItsNormalizer(const StreamAnswer& answer) {
  return answer.status.error_code() == grpc::StatusCode::INVALID_ARGUMENT &&
         answer.status.error_message().find("header.declared_normalizer") !=
             std::string::npos;
}

class StreamBits : public testing::TestWithParam<unsigned> {};

TEST_P(StreamBits, AreThoseOfTheUnaryCallWhereverChunksAreCut) {
  RunningServer server;
  int deferred = 0;
  for (unsigned round = 0; round < 12; ++round) {
    const unsigned seed = 1000 * GetParam() + round;
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomRequest maker(seed);
    const v1::ComputeLossRequest request = maker.Make();
    v1::ComputeLossResponse unary;
    const grpc::Status status = server.Call(request, &unary);
    ASSERT_TRUE(status.ok()) << status.error_message();
    Messages messages =
        CutAtRandom(request, seed % 3 == 0 ? 0.04 : 0.7, maker.random());
    bool depends_on_data = false;
    for (const bool second : {false, true}) {
      // A normalizer is declared only where it depends on the data.
      const bool declared = second && depends_on_data && unary.normalizer() > 0;
      if (declared) {
        messages[0].mutable_header()->set_declared_normalizer(
            unary.normalizer());
      }
      const StreamAnswer answer = RunStream(server, messages);
      if (!declared && AsksForDerivativesOfASmallRange(request) &&
          IsRefusedForItsNormalizer(answer)) {
        depends_on_data = true;
        continue;
      }
      ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
      ASSERT_TRUE(answer.summary.has_value());
      ExpectSameNumbers(*answer.summary, unary);
      EXPECT_TRUE(answer.losses == unary.losses().data());
      if (answer.summary->has_gradient_scale()) {
        ++deferred;
        EXPECT_FALSE(declared);
        depends_on_data = true;
        ExpectTheSumsGradient(server, request, unary, answer);
      } else {
        EXPECT_TRUE(answer.gradient == unary.gradient().data());
        EXPECT_TRUE(answer.second_derivative ==
                    unary.second_derivative().data());
      }
    }
  }
  EXPECT_LT(deferred, 24);
}

INSTANTIATE_TEST_SUITE_P(Random, StreamBits, testing::Range(0U, 8U));

TEST(StreamBits, OfAnEmptyTensorAreZeros) {
  RunningServer server;
  v1::ComputeLossRequest request;
  SetFloats(request.mutable_logits(), {0, 3}, {});
  SetFloats(request.mutable_targets(), {0, 3}, {});
  const StreamAnswer answer = RunStream(server, {HeaderOf(request)});
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(answer.summary->loss(), 0);
  EXPECT_EQ(answer.gradient, "");
  EXPECT_EQ(answer.summary->backend(), server.server().backend());
}

TEST(StreamBits, DoNotDependOnEncodingsThatOnlyTheGeneratedParserKnows) {
  RunningServer server;
  const v1::ComputeLossRequest request = SomeRequest(3000);
  v1::ComputeLossResponse unary;
  ASSERT_TRUE(server.Call(request, &unary).ok());
  Messages messages = Cut(request, 1000);
  // The walk leaves messages with unknown groups to the generated parser.
  for (v1::StreamLossRequest& message : messages) {
    message.GetReflection()
        ->MutableUnknownFields(&message)
        ->AddGroup(100)
        ->AddVarint(1, 5);
  }
  const StreamAnswer answer = RunStream(server, messages);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_TRUE(answer.gradient == unary.gradient().data());
}

}  // namespace
}  // namespace lossd
