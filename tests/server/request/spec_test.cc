#include "server/request/spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

namespace lossd::request {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct BadCase {
  const char* name;
  std::function<void(v1::LossSpec&)> spoil;
  const char* path;    // how the message begins
  const char* values;  // what it contains
};

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

const BadCase kBadCases[] = {
    {"UnknownKind",
     [](v1::LossSpec& s) { s.set_kind(static_cast<v1::LossKind>(77)); },
     "spec.kind:", "77"},
    {"UnknownReduction",
     [](v1::LossSpec& s) { s.set_reduction(static_cast<v1::Reduction>(-1)); },
     "spec.reduction:", "-1"},
    {"UnknownNormalizer",
     [](v1::LossSpec& s) { s.set_normalizer(static_cast<v1::Normalizer>(9)); },
     "spec.normalizer:", "9"},
    {"UnknownGradientMode",
     [](v1::LossSpec& s) { s.set_gradient(static_cast<v1::GradientMode>(9)); },
     "spec.gradient:", "9"},
    {"UnknownNanPolicy",
     [](v1::LossSpec& s) { s.set_nan_policy(static_cast<v1::NanPolicy>(9)); },
     "spec.nan_policy:", "9"},
    {"UnknownTargetRange",
     [](v1::LossSpec& s) {
       s.set_target_range(static_cast<v1::TargetRange>(9));
     },
     "spec.target_range:", "9"},
    {"NormalizerValueZero",
     [](v1::LossSpec& s) { s.set_normalizer(v1::NORMALIZER_CALLER); },
     "spec.normalizer_value:", "0"},
    {"NormalizerValueNaN",
     [](v1::LossSpec& s) {
       s.set_normalizer(v1::NORMALIZER_CALLER);
       s.set_normalizer_value(kNaN);
     },
     "spec.normalizer_value:", "NaN"},
    {"NormalizerValueInfinite",
     [](v1::LossSpec& s) {
       s.set_normalizer(v1::NORMALIZER_CALLER);
       s.set_normalizer_value(kInf);
     },
     "spec.normalizer_value:", "inf"},
    {"LossWeightInfinite", [](v1::LossSpec& s) { s.set_loss_weight(-kInf); },
     "spec.loss_weight:", "-inf"},
    {"NormalizerValueWithoutCaller",
     [](v1::LossSpec& s) { s.set_normalizer_value(8); },
     "spec.normalizer_value: has no effect with NORMALIZER_ELEMENTS",
     "it is for NORMALIZER_CALLER"},
    {"NormalizerOfASum",
     [](v1::LossSpec& s) {
       s.set_reduction(v1::REDUCTION_SUM);
       s.set_normalizer(v1::NORMALIZER_BATCH);
     },
     "spec.normalizer: has no effect with REDUCTION_SUM",
     "it is for REDUCTION_MEAN"},
    {"NormalizerOfEachElement",
     [](v1::LossSpec& s) {
       s.set_reduction(v1::REDUCTION_NONE);
       s.set_normalizer(v1::NORMALIZER_ELEMENTS);
     },
     "spec.normalizer: has no effect with REDUCTION_NONE", ""},
    {"GammaOfAnotherKind", [](v1::LossSpec& s) { s.set_focal_gamma(2); },
     "spec.focal_gamma: has no effect with LOSS_KIND_SIGMOID_CROSS_ENTROPY",
     "it is for LOSS_KIND_SIGMOID_FOCAL"},
    {"AlphaOfAnotherKind",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_ASYMMETRIC);
       s.set_focal_alpha(0);
     },
     "spec.focal_alpha: has no effect with LOSS_KIND_ASYMMETRIC", ""},
    {"MarginOfAnotherKind",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_asymmetric_margin(kNaN);
     },
     "spec.asymmetric_margin: has no effect with LOSS_KIND_SIGMOID_FOCAL",
     "it is for LOSS_KIND_ASYMMETRIC"},
    {"SmoothingOne", [](v1::LossSpec& s) { s.set_label_smoothing(1); },
     "spec.label_smoothing:", "1"},
    {"SmoothingNaN", [](v1::LossSpec& s) { s.set_label_smoothing(kNaN); },
     "spec.label_smoothing:", "NaN"},
    {"FocalGammaNegative",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_focal_gamma(-0.5);
     },
     "spec.focal_gamma:", "-0.5 is not at least 0 and finite"},
    {"FocalGammaInfinite",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_focal_gamma(kInf);
     },
     "spec.focal_gamma:", "inf is not"},
    {"FocalGammaNaN",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_focal_gamma(kNaN);
     },
     "spec.focal_gamma:", "NaN is not"},
    {"FocalAlphaAboveOne",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_focal_alpha(1.5);
     },
     "spec.focal_alpha:", "1.5 is not in [0, 1]"},
    {"FocalAlphaNaN",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_focal_alpha(kNaN);
     },
     "spec.focal_alpha:", "NaN"},
    {"FocalOfAnyTarget",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_target_range(v1::TARGET_RANGE_ANY);
     },
     "spec.target_range:", "LOSS_KIND_SIGMOID_FOCAL"},
    {"AsymmetricGammaPositive",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_ASYMMETRIC);
       s.set_asymmetric_gamma_positive(-1);
     },
     "spec.asymmetric_gamma_positive:", "-1 is not"},
    {"AsymmetricGammaNegative",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_ASYMMETRIC);
       s.set_asymmetric_gamma_negative(kInf);
     },
     "spec.asymmetric_gamma_negative:", "inf is not"},
    {"AsymmetricMarginOne",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_ASYMMETRIC);
       s.set_asymmetric_margin(1);
     },
     "spec.asymmetric_margin:", "1 is not in [0, 1)"},
    {"AsymmetricMarginNaN",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_ASYMMETRIC);
       s.set_asymmetric_margin(kNaN);
     },
     "spec.asymmetric_margin:", "NaN"},
};

class BadSpec : public testing::TestWithParam<BadCase> {};

TEST_P(BadSpec, NamesTheFieldAndTheValues) {
  v1::LossSpec spec;
  GetParam().spoil(spec);
  const absl::Status status = ReadSpec(spec).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_THAT(std::string(status.message()), StartsWith(GetParam().path));
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().values));
}

INSTANTIATE_TEST_SUITE_P(Validation, BadSpec, testing::ValuesIn(kBadCases),
                         [](const auto& bad) {
                           return std::string(bad.param.name);
                         });

TEST(Spec, OnlyAMeanByWeightsRefusesNegativeWeights) {
  v1::LossSpec spec;
  EXPECT_FALSE(ReadSpec(spec)->reject_negative_weights);
  spec.set_normalizer(v1::NORMALIZER_NONZERO_WEIGHTS);
  EXPECT_FALSE(ReadSpec(spec)->reject_negative_weights);
  spec.set_normalizer(v1::NORMALIZER_WEIGHT_SUM);
  EXPECT_TRUE(ReadSpec(spec)->reject_negative_weights);
}

}  // namespace
}  // namespace lossd::request
