// Tests everything that can be wrong with a request, field by field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "tests/server/request/reading.h"

namespace lossd::request {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct BadCase {
  const char* name;
  std::function<void(Request&)> spoil;
  absl::StatusCode code;
  const char* path;    // how the message begins
  const char* values;  // what it contains
};

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kLacking = absl::StatusCode::kUnimplemented;

const BadCase kBadCases[] = {
    {"NoLogits", [](Request& r) { r.clear_logits(); }, kInvalid,
     "logits:", "absent"},
    {"NoTargets", [](Request& r) { r.clear_targets(); }, kInvalid,
     "targets:", "absent"},
    {"FewerTargets",
     [](Request& r) {
       r.clear_targets();
       SetFloats(r.mutable_targets(), {2, 2}, 4);
     },
     kInvalid, "targets.shape: [2, 2] is not the logits' shape [2, 3]",
     "spec.target_shape_rule"},
    {"OtherLayout",
     [](Request& r) {
       r.Clear();
       SetFloats(r.mutable_logits(), {1, 2, 3}, 6);
       SetFloats(r.mutable_targets(), {1, 3, 2}, 6);
     },
     kInvalid, "targets.shape: [1, 3, 2] is not the logits' shape [1, 2, 3]",
     "dimensions of 1 apart"},
    {"Flattened",
     [](Request& r) {
       r.Clear();
       SetFloats(r.mutable_logits(), {2, 3, 2}, 12);
       SetFloats(r.mutable_targets(), {2, 6}, 12);
     },
     kInvalid, "targets.shape: [2, 6] is not the logits' shape [2, 3, 2]", ""},
    {"OnesOfAnotherShape",
     [](Request& r) {
       r.mutable_targets()->mutable_identity();
       r.mutable_targets()->set_shape(0, 3);
       r.mutable_targets()->set_shape(1, 2);
     },
     kInvalid, "targets.shape: [3, 2] is not the logits' shape [2, 3]", ""},
    {"OtherFirstDimensionOfTheSameCount",
     [](Request& r) {
       r.clear_targets();
       r.mutable_spec()->set_target_shape_rule(
           v1::TARGET_SHAPE_RULE_SAME_COUNT);
       SetFloats(r.mutable_targets(), {3, 2}, 6);
     },
     kInvalid, "targets.shape: [3, 2] must have the logits' element count",
     "and first dimension; the logits are [2, 3]"},
    {"UnknownTargetShapeRule",
     [](Request& r) {
       r.mutable_spec()->set_target_shape_rule(
           static_cast<v1::TargetShapeRule>(9));
     },
     kInvalid, "spec.target_shape_rule:", "9"},
    {"BytesDoNotFit", [](Request& r) { r.mutable_logits()->set_data("abc"); },
     kInvalid, "logits.data:", "3 bytes, but float32 of shape [2, 3] takes 24"},
    {"NoBytes", [](Request& r) { r.mutable_targets()->clear_data(); }, kInvalid,
     "targets.data:", "0 bytes"},
    {"NegativeDimension",
     [](Request& r) { r.mutable_logits()->set_shape(1, -3); }, kInvalid,
     "logits.shape:", "dimension 1 is -3"},
    {"TooManyDimensions",
     [](Request& r) {
       for (int i = 0; i < 253; ++i) r.mutable_logits()->add_shape(1);
     },
     kInvalid, "logits.shape:", "255 dimensions, at most 254 are allowed"},
    {"NegativeBesideZero",
     [](Request& r) {
       r.mutable_logits()->set_shape(0, 0);
       r.mutable_logits()->set_shape(1, -1);
     },
     kInvalid, "logits.shape:", "-1"},
    {"OverflowingDimensions",
     [](Request& r) {
       r.mutable_logits()->set_shape(0, int64_t{1} << 62);
       r.mutable_logits()->set_shape(1, 16);
     },
     kInvalid, "logits.shape:", "4611686018427387904, 16"},
    {"UnknownGradientType",
     [](Request& r) {
       r.mutable_spec()->set_gradient_dtype(static_cast<v1::DataType>(99));
     },
     kInvalid, "spec.gradient_dtype:", "99"},
    {"UnknownLogitsType",
     [](Request& r) {
       r.mutable_logits()->set_dtype(static_cast<v1::DataType>(99));
     },
     kInvalid, "logits.dtype:", "99"},
    {"IntegerLogits",
     [](Request& r) { r.mutable_logits()->set_dtype(v1::DATA_TYPE_INT32); },
     kInvalid, "logits.dtype:", "DATA_TYPE_INT32"},
    {"BitWeights",
     [](Request& r) {
       r.mutable_weights()->set_dtype(v1::DATA_TYPE_BIT);
       r.mutable_weights()->add_values(1);
     },
     kInvalid, "weights.dtype:", "DATA_TYPE_BIT is for targets alone"},
    {"BitUpstream",
     [](Request& r) {
       r.mutable_upstream_gradient()->set_dtype(v1::DATA_TYPE_BIT);
       r.mutable_upstream_gradient()->add_values(1);
     },
     kInvalid, "upstream_gradient.dtype:", "DATA_TYPE_BIT is for targets"},
    {"IntegerGradient",
     [](Request& r) {
       r.mutable_spec()->set_gradient_dtype(v1::DATA_TYPE_INT64);
     },
     kInvalid, "spec.gradient_dtype:", "DATA_TYPE_INT64"},
    {"IgnoreTargetBetweenFloats",
     [](Request& r) { r.mutable_spec()->set_ignore_target(0.1); }, kInvalid,
     "spec.ignore_target: 0.1 is not a value of float32, the type of the "
     "targets",
     "; the nearest is 0.10000000149011612"},
    {"IgnoreTargetOfOnes",
     [](Request& r) {
       r.mutable_targets()->Clear();
       r.mutable_targets()->mutable_identity();
       r.mutable_spec()->set_ignore_target(255);
     },
     kInvalid, "spec.ignore_target: 255 is not a value of ones and identity",
     ""},
    {"UpstreamNaN",
     [](Request& r) { r.mutable_upstream_gradient()->add_values(kNaN); },
     kInvalid, "upstream_gradient[0]: NaN is not finite", "NAN_POLICY_REJECT"},
    {"WeightsDoNotBroadcast",
     [](Request& r) { SetFloats(r.mutable_weights(), {2}, 2); }, kInvalid,
     "weights.shape:", "[2] does not broadcast to the logits' shape [2, 3]"},
    {"WeightsOfHigherRank",
     [](Request& r) {
       SetFloats(r.mutable_pos_weight(), {1, 2, 3}, 6);
     },
     kInvalid, "pos_weight.shape:", "[1, 2, 3]"},
    {"UpstreamOfAReducedLoss",
     [](Request& r) {
       SetFloats(r.mutable_upstream_gradient(), {2, 3}, 6);
     },
     kInvalid, "upstream_gradient.shape:", "[2, 3] has 6 elements"},
    {"UpstreamOfTheWrongShape",
     [](Request& r) {
       r.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
       SetFloats(r.mutable_upstream_gradient(), {2}, 2);
     },
     kInvalid, "upstream_gradient.shape:",
     "[2] does not broadcast to the logits' shape [2, 3]"},
    {"ValuesAndData", [](Request& r) { r.mutable_logits()->add_values(1); },
     kInvalid, "logits.values:", "beside data"},
    {"ValuesDoNotFitTheShape",
     [](Request& r) {
       r.mutable_logits()->clear_data();
       r.mutable_logits()->add_values(1);
     },
     kInvalid, "logits.values:", "1 values, but the shape [2, 3] has 6"},
    {"ValueNotOfItsType",
     [](Request& r) {
       r.clear_targets();
       r.mutable_targets()->set_dtype(v1::DATA_TYPE_UINT8);
       for (const double v : {1.0, 0.5, 0.0, 0.0, 0.0, 0.0})
         r.mutable_targets()->add_values(v);
     },
     kInvalid, "targets.values[1]:", "0.5 is not a uint8"},
    {"ValueOverFloat32",
     [](Request& r) {
       r.clear_logits();
       r.mutable_logits()->add_values(1e300);
     },
     kInvalid, "logits.values[0]:", "1e+300 is not a float32"},
    {"ValueOverFloat16",
     [](Request& r) {
       r.clear_logits();
       r.mutable_logits()->set_dtype(v1::DATA_TYPE_FLOAT16);
       r.mutable_logits()->add_values(65504);
       r.mutable_logits()->add_values(-65520);
     },
     kInvalid, "logits.values[1]:", "-65520 is not a float16"},
    {"ValuesBesideOnes",
     [](Request& r) {
       r.mutable_targets()->mutable_ones();
       r.mutable_targets()->add_values(1);
     },
     kInvalid, "targets.values:", "1 values beside ones"},
    {"LogitsAsOnes", [](Request& r) { r.mutable_logits()->mutable_ones(); },
     kInvalid, "logits.ones:", "only targets"},
    {"WeightsAsIdentity",
     [](Request& r) { r.mutable_weights()->mutable_identity(); }, kInvalid,
     "weights.identity:", "only targets"},
    {"SharedMemory",
     [](Request& r) {
       r.mutable_logits()->mutable_shared_memory()->set_region("r");
     },
     kInvalid, "logits.shared_memory.byte_size:", "0 bytes"},
    {"ValuesBesideSharedMemory",
     [](Request& r) {
       r.mutable_logits()->mutable_shared_memory()->set_region("r");
       r.mutable_logits()->add_values(1);
     },
     kInvalid, "logits.values:", "1 values beside shared_memory"},
    {"SharedMemoryOfAServerWithout",
     [](Request& r) {
       r.mutable_logits()->mutable_shared_memory()->set_byte_size(24);
     },
     kLacking, "logits.shared_memory:", "--shared_memory_socket"},
    {"GradientDestination",
     [](Request& r) { r.mutable_gradient_destination()->set_region("r"); },
     kInvalid, "gradient_destination.byte_size: 0", "[2, 3] takes 24"},
    {"GradientDestinationOfAServerWithout",
     [](Request& r) { r.mutable_gradient_destination()->set_byte_size(24); },
     kLacking, "gradient_destination:", "--shared_memory_socket"},
    {"GradientDestinationOfNoGradient",
     [](Request& r) {
       r.mutable_spec()->set_gradient(v1::GRADIENT_MODE_OMIT);
       r.mutable_gradient_destination()->set_byte_size(24);
     },
     kInvalid, "gradient_destination:", "GRADIENT_MODE_OMIT"},
};

class BadRequest : public testing::TestWithParam<BadCase> {};

TEST_P(BadRequest, NamesTheFieldAndTheValues) {
  Request request = TwoByThree();
  GetParam().spoil(request);
  const Reading reading(request);
  EXPECT_EQ(reading.status.code(), GetParam().code) << reading.status;
  EXPECT_THAT(reading.message(), StartsWith(GetParam().path));
  EXPECT_THAT(reading.message(), HasSubstr(GetParam().values));
}

INSTANTIATE_TEST_SUITE_P(Validation, BadRequest, testing::ValuesIn(kBadCases),
                         [](const auto& bad) {
                           return std::string(bad.param.name);
                         });

}  // namespace
}  // namespace lossd::request
