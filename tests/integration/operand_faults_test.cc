// Weights, positive weights and upstream gradients that make no sense are
// refused by their place in their own tensor, in one message and as a stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "tests/integration/loss_stream.h"
#include "tests/integration/running_server.h"

namespace lossd {
namespace {

using Request = v1::ComputeLossRequest;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kRows = 300;
constexpr int64_t kColumns = 1000;
constexpr size_t kCount = kRows * kColumns;

Request Matrix() {
  Request request;
  SetFloats(request.mutable_logits(), {kRows, kColumns},
            std::vector<float>(kCount, 0.5F));
  SetFloats(request.mutable_targets(), {kRows, kColumns},
            std::vector<float>(kCount, 1));
  return request;
}

// A stream has weights in chunks only if their type is given.
void SetOperand(v1::Tensor* tensor, const std::vector<int64_t>& shape,
                const std::vector<float>& values) {
  SetFloats(tensor, shape, values);
  tensor->set_dtype(v1::DATA_TYPE_FLOAT32);
}

// Returns ones, with `value` at `index`.
std::vector<float> Spoilt(size_t count, size_t index, float value) {
  std::vector<float> values(count, 1);
  values[index] = value;
  return values;
}

class OperandFaults : public testing::Test {
 protected:
  // Calls `check` with the status of the request in both forms.
  void InBothForms(const Request& request,
                   const std::function<void(const grpc::Status&)>& check) {
    v1::ComputeLossResponse response;
    check(server_.Call(request, &response));
    check(RunStream(server_, Cut(request, 70000)).status);
  }

  void ExpectRefused(const Request& request, const std::string& begin,
                     const std::string& rest = "") {
    InBothForms(request, [&](const grpc::Status& status) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
      EXPECT_THAT(status.error_message(), StartsWith(begin));
      EXPECT_THAT(status.error_message(), HasSubstr(rest));
    });
  }

  void ExpectAnswered(const Request& request) {
    InBothForms(request, [](const grpc::Status& status) {
      EXPECT_TRUE(status.ok()) << status.error_message();
    });
  }

  RunningServer server_;
};

TEST_F(OperandFaults, AWeightOfEachElement) {
  Request request = Matrix();
  SetOperand(request.mutable_weights(), {kRows, kColumns},
             Spoilt(kCount, 200'007, NAN));
  ExpectRefused(request,
                "weights[200007]: NaN is not finite, and spec.nan_policy is "
                "NAN_POLICY_REJECT (element [200, 7] of shape [300, 1000])");
}

TEST_F(OperandFaults, APositiveWeightOfAColumnIsNamedByTheColumn) {
  Request request = Matrix();
  SetOperand(request.mutable_pos_weight(), {kColumns},
             Spoilt(kColumns, 999, INFINITY));
  // The column has no positive target, and the weight is refused all the same.
  std::vector<float> targets(kCount, 1);
  for (size_t i = 999; i < kCount; i += kColumns) targets[i] = 0;
  SetFloats(request.mutable_targets(), {kRows, kColumns}, targets);
  ExpectRefused(request, "pos_weight[999]: inf is not finite");
}

TEST_F(OperandFaults, AWeightOfARowIsNamedByTheRow) {
  Request request = Matrix();
  SetOperand(request.mutable_weights(), {kRows, 1},
             Spoilt(kRows, 299, -INFINITY));
  ExpectRefused(request, "weights[299]: -inf is not finite",
                "(element [299, 0] of shape [300, 1])");
}

TEST_F(OperandFaults, OneWeightForAll) {
  Request request = Matrix();
  SetOperand(request.mutable_weights(), {1}, {NAN});
  ExpectRefused(request, "weights[0]: NaN is not finite");
}

TEST_F(OperandFaults, AnUpstreamGradient) {
  Request request = Matrix();
  SetOperand(request.mutable_upstream_gradient(), {1}, {-INFINITY});
  ExpectRefused(request, "upstream_gradient[0]: -inf is not finite");
  request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  SetOperand(request.mutable_upstream_gradient(), {kRows, kColumns},
             Spoilt(kCount, 299'999, NAN));
  ExpectRefused(request, "upstream_gradient[299999]: NaN is not finite",
                "(element [299, 999] of shape [300, 1000])");
}

TEST_F(OperandFaults, AFloat64ThatIsInfiniteInTheArithmetic) {
  Request request = Matrix();
  v1::Tensor& weights = *request.mutable_weights();
  weights.set_dtype(v1::DATA_TYPE_FLOAT64);
  weights.add_values(1e300);
  ExpectRefused(request, "weights[0]: 1e+300 is infinite in float32");
}

TEST_F(OperandFaults, ANegativeWeightOnlyWhereItWouldBeSummed) {
  Request request = Matrix();
  SetOperand(request.mutable_weights(), {kColumns}, Spoilt(kColumns, 3, -2));
  ExpectAnswered(request);
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_WEIGHT_SUM);
  ExpectRefused(request,
                "weights[3]: -2 is below 0, and spec.normalizer is "
                "NORMALIZER_WEIGHT_SUM");
  request.mutable_spec()->set_nan_policy(v1::NAN_POLICY_PROPAGATE);
  ExpectRefused(request, "weights[3]: -2 is below 0");
}

TEST_F(OperandFaults, TheFirstElementIsNamedAndLogitsAndTargetsBeforeIt) {
  Request request = Matrix();
  SetOperand(request.mutable_weights(), {kColumns}, Spoilt(kColumns, 5, NAN));
  SetOperand(request.mutable_pos_weight(), {kColumns},
             Spoilt(kColumns, 4, NAN));
  ExpectRefused(request, "pos_weight[4]: NaN");
  SetFloats(request.mutable_targets(), {kRows, kColumns},
            Spoilt(kCount, 50'000, 2));
  ExpectRefused(request, "targets[50000]: 2 is not in [0, 1]");
}

TEST_F(OperandFaults, PropagateLetsThemThrough) {
  Request request = Matrix();
  request.mutable_spec()->set_nan_policy(v1::NAN_POLICY_PROPAGATE);
  SetOperand(request.mutable_weights(), {kColumns}, Spoilt(kColumns, 5, NAN));
  SetOperand(request.mutable_pos_weight(), {kColumns},
             Spoilt(kColumns, 4, INFINITY));
  SetOperand(request.mutable_upstream_gradient(), {1}, {INFINITY});
  ExpectAnswered(request);
}

// A trainer masks what it does not have by an ignored target or a weight of 0.
TEST_F(OperandFaults, ElementsThatTakeNoPartMayHaveThem) {
  Request request = Matrix();
  request.mutable_spec()->set_ignore_target(-1);
  SetFloats(request.mutable_targets(), {kRows, kColumns},
            Spoilt(kCount, 200'007, -1));
  SetOperand(request.mutable_weights(), {kRows, kColumns},
             Spoilt(kCount, 200'007, NAN));
  ExpectAnswered(request);
  SetOperand(request.mutable_weights(), {kRows, kColumns},
             Spoilt(kCount, 100'009, 0));
  SetOperand(request.mutable_pos_weight(), {kRows, kColumns},
             Spoilt(kCount, 100'009, NAN));
  ExpectAnswered(request);
}

TEST_F(OperandFaults, AllWeightsOfZeroStayALossOfZero) {
  Request request = Matrix();
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_WEIGHT_SUM);
  SetOperand(request.mutable_weights(), {1}, {0});
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server_.Call(request, &response).ok());
  EXPECT_EQ(response.loss(), 0);
  for (const float g : Floats(response.gradient())) EXPECT_EQ(g, 0);
}

TEST_F(OperandFaults, IgnoredNansAreNoTargets) {
  Request request = Matrix();
  request.mutable_spec()->set_ignore_target(NAN);
  request.mutable_spec()->set_normalizer(v1::NORMALIZER_VALID);
  SetFloats(request.mutable_targets(), {kRows, kColumns},
            Spoilt(kCount, 200'007, NAN));
  v1::ComputeLossResponse response;
  ASSERT_TRUE(server_.Call(request, &response).ok());
  EXPECT_EQ(response.valid_count(), static_cast<int64_t>(kCount) - 1);
  EXPECT_EQ(response.normalizer(), static_cast<double>(kCount - 1));
  EXPECT_NEAR(response.loss(), std::log1p(std::exp(-0.5)), 1e-7);
  EXPECT_EQ(Floats(response.gradient())[200'007], 0);
  const StreamAnswer stream = RunStream(server_, Cut(request, 70000));
  ASSERT_TRUE(stream.status.ok()) << stream.status.error_message();
  EXPECT_EQ(stream.summary->loss(), response.loss());
  EXPECT_EQ(stream.summary->valid_count(), response.valid_count());
}

TEST_F(OperandFaults, ADeclaredNormalizerThatNothingReads) {
  Messages messages = Cut(Matrix(), 70000);
  messages[0].mutable_header()->set_declared_normalizer(5);
  const grpc::Status status = RunStream(server_, messages).status;
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(),
              StartsWith("header.declared_normalizer: has no effect"));
}

}  // namespace
}  // namespace lossd
