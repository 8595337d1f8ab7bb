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
    {"UnknownSecondDerivativeMode",
     [](v1::LossSpec& s) {
       s.set_second_derivative(static_cast<v1::SecondDerivativeMode>(3));
     },
     "spec.second_derivative:", "3"},
    {"UnknownSoftTargetRule",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_POLY);
       s.set_soft_targets(static_cast<v1::SoftTargetRule>(3));
     },
     "spec.soft_targets:", "3"},
    {"SoftTargetsOfAnotherKind",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_QUALITY_FOCAL);
       s.set_soft_targets(v1::SOFT_TARGET_RULE_MIXTURE);
     },
     "spec.soft_targets: has no effect with LOSS_KIND_QUALITY_FOCAL",
     "it is for LOSS_KIND_SIGMOID_FOCAL, LOSS_KIND_POLY"},
    {"EpsilonOfAnotherKind",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
       s.set_poly_epsilon(1);
     },
     "spec.poly_epsilon: has no effect with LOSS_KIND_SIGMOID_FOCAL",
     "it is for LOSS_KIND_POLY"},
    {"EpsilonInfinite",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_POLY);
       s.set_poly_epsilon(kInf);
     },
     "spec.poly_epsilon:", "inf is not finite"},
    {"AlphaOfAQualityFocalLoss",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_QUALITY_FOCAL);
       s.set_focal_alpha(0.25);
     },
     "spec.focal_alpha: has no effect with LOSS_KIND_QUALITY_FOCAL",
     "LOSS_KIND_VARIFOCAL"},
    {"VarifocalGammaNegative",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_VARIFOCAL);
       s.set_focal_gamma(-1);
     },
     "spec.focal_gamma:", "-1 is not at least 0"},
    {"DetachedCrossEntropy", [](v1::LossSpec& s) { s.set_detach_focus(true); },
     "spec.detach_focus: has no effect with LOSS_KIND_SIGMOID_CROSS_ENTROPY",
     "it is for LOSS_KIND_SIGMOID_FOCAL, LOSS_KIND_ASYMMETRIC"},
    {"PriorWithoutSmoothing",
     [](v1::LossSpec& s) { s.set_label_smoothing_prior(0.5); },
     "spec.label_smoothing_prior: has no effect", "spec.label_smoothing"},
    {"PriorAboveOne",
     [](v1::LossSpec& s) {
       s.set_label_smoothing(0.1);
       s.set_label_smoothing_prior(1.5);
     },
     "spec.label_smoothing_prior:", "1.5 is not in [0, 1]"},
    {"PriorNaN",
     [](v1::LossSpec& s) {
       s.set_label_smoothing(0.1);
       s.set_label_smoothing_prior(kNaN);
     },
     "spec.label_smoothing_prior:", "NaN"},
    {"SmoothedVarifocal",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_VARIFOCAL);
       s.set_label_smoothing(0.1);
     },
     "spec.label_smoothing:", "LOSS_KIND_VARIFOCAL"},
    {"QualityFocalOfAnyTarget",
     [](v1::LossSpec& s) {
       s.set_kind(v1::LOSS_KIND_QUALITY_FOCAL);
       s.set_target_range(v1::TARGET_RANGE_ANY);
     },
     "spec.target_range:", "LOSS_KIND_QUALITY_FOCAL"},
    {"NormalizerValueOfRowsWithoutCaller",
     [](v1::LossSpec& s) {
       s.set_reduction(v1::REDUCTION_ROWS);
       s.set_normalizer_value(2);
     },
     "spec.normalizer_value: has no effect with NORMALIZER_ELEMENTS", ""},
    {"LossesDtypeOfAMeanOfRows",
     [](v1::LossSpec& s) {
       s.set_reduction(v1::REDUCTION_MEAN_OF_ROWS);
       s.set_losses_dtype(v1::DATA_TYPE_FLOAT32);
     },
     "spec.losses_dtype: has no effect with REDUCTION_MEAN_OF_ROWS",
     "REDUCTION_ROWS"},
    {"LossesDtypeOfAMean",
     [](v1::LossSpec& s) { s.set_losses_dtype(v1::DATA_TYPE_FLOAT32); },
     "spec.losses_dtype: has no effect with REDUCTION_",
     "it is for REDUCTION_NONE"},
    {"UnknownLossesDtype",
     [](v1::LossSpec& s) {
       s.set_reduction(v1::REDUCTION_NONE);
       s.set_losses_dtype(static_cast<v1::DataType>(99));
     },
     "spec.losses_dtype:", "99"},
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

TEST(Spec, AMixtureOfSoftTargetsTakesAnyTarget) {
  v1::LossSpec spec;
  spec.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
  spec.set_soft_targets(v1::SOFT_TARGET_RULE_MIXTURE);
  spec.set_target_range(v1::TARGET_RANGE_ANY);
  const auto options = ReadSpec(spec);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->mixes_soft_targets);
  EXPECT_FALSE(options->targets_in_unit_interval);
}

TEST(Spec, OptionsOfTheFamilyReachTheKernels) {
  v1::LossSpec spec;
  spec.set_kind(v1::LOSS_KIND_POLY);
  spec.set_poly_epsilon(-0.5);
  spec.set_focal_gamma(2);
  spec.set_focal_alpha(0.25);
  spec.set_label_smoothing(0.1);
  spec.set_label_smoothing_prior(0.125);
  const auto poly = ReadSpec(spec);
  ASSERT_TRUE(poly.ok()) << poly.status();
  EXPECT_EQ(poly->kind, kernels::LossKind::kPoly);
  EXPECT_EQ(poly->poly_epsilon, -0.5);
  EXPECT_EQ(poly->label_smoothing_prior, 0.125);
  EXPECT_FALSE(poly->detaches_focus);
  spec.Clear();
  spec.set_kind(v1::LOSS_KIND_ASYMMETRIC);
  spec.set_detach_focus(true);
  EXPECT_TRUE(ReadSpec(spec)->detaches_focus);
  spec.Clear();
  spec.set_kind(v1::LOSS_KIND_VARIFOCAL);
  EXPECT_EQ(kernels::ParametersOf(*ReadSpec(spec)).alpha_negative, 0.75);
}

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
