#include "server/request/valid_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "tests/server/request/reading.h"

namespace lossd::request {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(Validation, FillsTheSegmentOfAPlainRequest) {
  const Reading reading(TwoByThree());
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  const kernels::Segment& segment = reading.valid.segment();
  EXPECT_EQ(segment.element_count, 6U);
  EXPECT_THAT(reading.Dims(), ElementsAre(2, 3));
  EXPECT_EQ(segment.options.loss_weight, 1);
  EXPECT_TRUE(segment.options.reject_nan_logits);
  EXPECT_TRUE(reading.valid.gradient_in_reply());
  EXPECT_FALSE(reading.valid.wants_losses());
  EXPECT_FALSE(reading.valid.as_values());
  EXPECT_FALSE(segment.weights.present());
}

// A client may write down what holds anyway.
TEST(Validation, TakesOptionsThatSayWhatIsTheDefault) {
  Request request = TwoByThree();
  v1::LossSpec& spec = *request.mutable_spec();
  spec.set_kind(v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY);
  spec.set_reduction(v1::REDUCTION_MEAN);
  spec.set_normalizer(v1::NORMALIZER_ELEMENTS);
  spec.set_target_shape_rule(v1::TARGET_SHAPE_RULE_SAME);
  const Reading reading(request);
  EXPECT_TRUE(reading.status.ok()) << reading.status;
}

TEST(Validation, ShapesOfTargetsDifferInDimensionsOf1) {
  const std::vector<int64_t> alike[] = {
      {2, 3}, {1, 2, 3}, {2, 1, 3}, {2, 3, 1}, {1, 2, 1, 3, 1}};
  for (const auto& logits : alike) {
    for (const auto& targets : alike) {
      Request request;
      SetFloats(request.mutable_logits(), logits, 6);
      SetFloats(request.mutable_targets(), targets, 6);
      const Reading reading(request);
      EXPECT_TRUE(reading.status.ok()) << reading.status;
    }
  }
}

TEST(Validation, CaffesRulePairsElementsOfAnyLayout) {
  const struct {
    std::vector<int64_t> logits, targets;
    size_t count;
  } pairs[] = {{{2, 3, 4}, {2, 4, 3}, 24},
               {{2, 3, 4}, {2, 12}, 24},
               {{2, 6}, {2, 2, 3}, 12},
               {{1, 1}, {}, 1}};
  for (const auto& [logits, targets, count] : pairs) {
    Request request;
    SetFloats(request.mutable_logits(), logits, count);
    SetFloats(request.mutable_targets(), targets, count);
    request.mutable_spec()->set_target_shape_rule(
        v1::TARGET_SHAPE_RULE_SAME_COUNT);
    const Reading reading(request);
    EXPECT_TRUE(reading.status.ok()) << reading.status;
  }
}

// A value is refused exactly if the targets' type does not hold it.
TEST(Validation, AnIgnoredTargetIsAValueOfTheTargetsType) {
  const struct {
    v1::DataType type;
    std::vector<double> held;
    std::vector<double> others;
  } types[] = {
      {v1::DATA_TYPE_UINT8, {0, -0.0, 255}, {-1, 0.5, 256, kNaN, kInf}},
      {v1::DATA_TYPE_INT8, {-128, -100, -1, 127}, {128, 255, -129, 300, kNaN}},
      {v1::DATA_TYPE_INT16, {-32768, -100, 255, 32767}, {32768, -32769, 1.5}},
      {v1::DATA_TYPE_INT32, {-0x1p31, 0x1p31 - 1}, {0x1p31, -0x1p31 - 1, 0.1}},
      {v1::DATA_TYPE_INT64,
       {-0x1p63, -100, 0x1.fffffffffffffp62},
       {0x1p63, -0x1.0000000000001p63, 1e-9, kInf, kNaN}},
      {v1::DATA_TYPE_BOOL, {0, 1}, {-1, 2, 255, kNaN}},
      {v1::DATA_TYPE_BIT, {0, 1}, {-1, 0.5, kNaN}},
      {v1::DATA_TYPE_FLOAT64, {0.1, 1e300, -kInf, kNaN}, {}},
      {v1::DATA_TYPE_FLOAT32, {-1, 255, 0.1F, kInf, kNaN}, {0.1, 1e300, 1e-60}},
      {v1::DATA_TYPE_BFLOAT16, {-1, 255, 0.5, kInf, kNaN}, {257, 0.1F, 1e39}},
      {v1::DATA_TYPE_FLOAT16, {-100, 2048, 0x1p-24, kNaN}, {2049, 65520, 0.1F}},
      {v1::DATA_TYPE_FLOAT8_E4M3FN, {-1, 448, 0x1p-9, kNaN}, {17, 449, kInf}},
      {v1::DATA_TYPE_FLOAT8_E5M2, {-1, 57344, kInf, kNaN}, {9, 255, 1e6}},
  };
  for (const auto& type : types) {
    const auto status = [&](double ignored) {
      Request request = TwoByThree();
      request.clear_targets();
      request.mutable_targets()->set_dtype(type.type);
      for (const int64_t dim : {2, 3})
        request.mutable_targets()->add_shape(dim);
      for (int i = 0; i < 6; ++i) request.mutable_targets()->add_values(1);
      request.mutable_spec()->set_ignore_target(ignored);
      return Reading(request).status;
    };
    for (const double value : type.held) {
      EXPECT_TRUE(status(value).ok()) << status(value);
    }
    for (const double value : type.others) {
      EXPECT_TRUE(absl::IsInvalidArgument(status(value)))
          << v1::DataType_Name(type.type) << " " << value;
    }
  }
}

TEST(Validation, BroadcastsFromTheRight) {
  Request request = TwoByThree();
  SetFloats(request.mutable_weights(), {2, 1}, 2);
  SetFloats(request.mutable_pos_weight(), {3}, 3);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_THAT(reading.Strides(reading.valid.segment().weights),
              ElementsAre(1, 0));
  EXPECT_THAT(reading.Strides(reading.valid.segment().pos_weight),
              ElementsAre(0, 1));
}

TEST(Validation, FoldsDimensionsThatOperandsReadAsOne) {
  Request request;
  SetFloats(request.mutable_logits(), {2, 3, 4, 1, 5}, 120);
  SetFloats(request.mutable_targets(), {2, 3, 4, 5}, 120);
  SetFloats(request.mutable_weights(), {4, 1, 5}, 20);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_THAT(reading.Dims(), ElementsAre(2, 3, 20));
  EXPECT_THAT(reading.Strides(reading.valid.segment().weights),
              ElementsAre(0, 0, 1));
}

TEST(Validation, FoldsAnyRankWithoutOperandsAndKeepsTheFirstDimension) {
  Request request;
  const std::vector<int64_t> shape(12, 2);
  SetFloats(request.mutable_logits(), shape, 4096);
  SetFloats(request.mutable_targets(), shape, 4096);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_THAT(reading.Dims(), ElementsAre(2, 2048));
  EXPECT_EQ(reading.valid.dims().size(), 12U);
}

TEST(Validation, RefusesARankThatDoesNotFold) {
  Request request;
  const std::vector<int64_t> shape(10, 2);
  SetFloats(request.mutable_logits(), shape, 1024);
  SetFloats(request.mutable_targets(), shape, 1024);
  // Every other dimension is repeated, so no two of them are read as one.
  SetFloats(request.mutable_weights(), {2, 1, 2, 1, 2, 1, 2, 1, 2, 1}, 32);
  const Reading reading(request);
  EXPECT_TRUE(absl::IsInvalidArgument(reading.status));
  EXPECT_THAT(reading.message(), StartsWith("logits.shape:"));
  EXPECT_THAT(reading.message(), HasSubstr("8 dimensions"));
}

TEST(Validation, TellsAbsentEmptyAndRankZeroApart) {
  Request empty;
  empty.mutable_logits()->add_shape(0);
  empty.mutable_targets()->add_shape(0);
  const Reading nothing(empty);
  ASSERT_TRUE(nothing.status.ok()) << nothing.status;
  EXPECT_EQ(nothing.valid.segment().element_count, 0U);

  Request scalar;
  SetFloats(scalar.mutable_logits(), {}, 1);
  SetFloats(scalar.mutable_targets(), {}, 1);
  const Reading one(scalar);
  ASSERT_TRUE(one.status.ok()) << one.status;
  EXPECT_EQ(one.valid.segment().element_count, 1U);
  EXPECT_EQ(one.valid.segment().shape.rank, 0);

  scalar.mutable_logits()->set_data("");
  EXPECT_TRUE(absl::IsInvalidArgument(Reading(scalar).status));
}

TEST(Validation, ReadsAnUpstreamOfOneElementAsAScalar) {
  Request request = TwoByThree();
  request.mutable_upstream_gradient()->set_dtype(v1::DATA_TYPE_FLOAT64);
  request.mutable_upstream_gradient()->add_values(0.25);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_EQ(reading.valid.segment().upstream_scalar, 0.25);
  EXPECT_FALSE(reading.valid.segment().upstream.present());
}

TEST(Validation, StoresValuesInTheTensorsType) {
  Request request;
  for (const double v : {0.5, -1.0, kNaN})
    request.mutable_logits()->add_values(v);
  request.mutable_targets()->set_dtype(v1::DATA_TYPE_BIT);
  for (const double v : {1.0, 0.0, 1.0})
    request.mutable_targets()->add_values(v);
  const Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  const kernels::Segment& segment = reading.valid.segment();
  EXPECT_TRUE(reading.valid.as_values());
  EXPECT_EQ(kernels::ElementAt(segment.logits, 1), -1.0);
  EXPECT_TRUE(std::isnan(kernels::ElementAt(segment.logits, 2)));
  ASSERT_EQ(segment.targets.pieces.size(), 1U);
  EXPECT_THAT(segment.targets.pieces[0], ElementsAre(std::byte{0b101}));
  EXPECT_THAT(reading.valid.dims(), ElementsAre(3));
}

TEST(Validation, FillsInTheParametersOfTheChosenKindAlone) {
  Request request = TwoByThree();
  v1::LossSpec& spec = *request.mutable_spec();
  spec.set_kind(v1::LOSS_KIND_SIGMOID_FOCAL);
  spec.set_focal_gamma(2);
  spec.set_focal_alpha(0.25);
  const Reading focal(request);
  ASSERT_TRUE(focal.status.ok()) << focal.status;
  EXPECT_EQ(focal.valid.segment().options.kind,
            kernels::LossKind::kSigmoidFocal);
  EXPECT_EQ(focal.valid.segment().options.focal_gamma, 2);
  EXPECT_EQ(focal.valid.segment().options.focal_alpha, 0.25);

  spec.clear_focal_gamma();
  spec.clear_focal_alpha();
  spec.set_kind(v1::LOSS_KIND_ASYMMETRIC);
  spec.set_asymmetric_gamma_positive(1);
  spec.set_asymmetric_gamma_negative(4);
  spec.set_asymmetric_margin(0.05);
  spec.set_target_range(v1::TARGET_RANGE_ANY);
  const Reading asymmetric(request);
  ASSERT_TRUE(asymmetric.status.ok()) << asymmetric.status;
  const kernels::LossOptions& options = asymmetric.valid.segment().options;
  EXPECT_EQ(options.kind, kernels::LossKind::kAsymmetric);
  EXPECT_EQ(options.asymmetric_gamma_positive, 1);
  EXPECT_EQ(options.asymmetric_gamma_negative, 4);
  EXPECT_EQ(options.asymmetric_margin, 0.05);
  EXPECT_FALSE(options.focal_alpha.has_value());
}

TEST(Validation, TakesEveryFloatTypeOfGradientWithEveryOneOfLogits) {
  const v1::DataType floats[] = {
      v1::DATA_TYPE_FLOAT32,       v1::DATA_TYPE_FLOAT64,
      v1::DATA_TYPE_BFLOAT16,      v1::DATA_TYPE_FLOAT16,
      v1::DATA_TYPE_FLOAT8_E4M3FN, v1::DATA_TYPE_FLOAT8_E5M2};
  for (const v1::DataType logits : floats) {
    for (const v1::DataType gradient : floats) {
      Request request;
      request.mutable_logits()->set_dtype(logits);
      for (const double v : {0.5, -1.0, 2.0})
        request.mutable_logits()->add_values(v);
      for (const double v : {1.0, 0.0, 1.0})
        request.mutable_targets()->add_values(v);
      request.mutable_targets()->set_dtype(logits);
      request.mutable_spec()->set_gradient_dtype(gradient);
      request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
      const Reading reading(request);
      ASSERT_TRUE(reading.status.ok()) << reading.status;
      const kernels::Segment& segment = reading.valid.segment();
      EXPECT_EQ(ToProto(segment.logits.type), logits);
      EXPECT_EQ(ToProto(segment.gradient_type), gradient);
      const auto bytes = [](v1::DataType type) {
        return kernels::ByteSize(*FromProto(type), 3);
      };
      EXPECT_EQ(reading.valid.losses_bytes(), bytes(logits));
      EXPECT_EQ(reading.valid.gradient_bytes(), bytes(gradient));
      // The two results are also returned as three values each.
      EXPECT_EQ(reading.valid.reply_bytes(),
                bytes(logits) + bytes(gradient) + 2 * 3 * sizeof(double));
      EXPECT_EQ(kernels::ElementAt(segment.logits, 1), -1);
    }
  }
}

TEST(Validation, AFloat8TensorOfTheWrongSizeIsNamed) {
  Request request;
  request.mutable_logits()->set_dtype(v1::DATA_TYPE_FLOAT8_E4M3FN);
  for (const int64_t dim : {2, 3}) request.mutable_logits()->add_shape(dim);
  request.mutable_logits()->set_data(std::string(12, '\0'));
  for (int i = 0; i < 6; ++i) request.mutable_targets()->add_values(1);
  for (const int64_t dim : {2, 3}) request.mutable_targets()->add_shape(dim);
  const absl::Status status = Reading(request).status;
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("logits.data: 12 bytes"));
}

TEST(Validation, TakesOperandsOfEveryTypeButBit) {
  for (const v1::DataType type :
       {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64, v1::DATA_TYPE_BFLOAT16,
        v1::DATA_TYPE_FLOAT16, v1::DATA_TYPE_UINT8, v1::DATA_TYPE_BOOL,
        v1::DATA_TYPE_INT32, v1::DATA_TYPE_INT64, v1::DATA_TYPE_INT8,
        v1::DATA_TYPE_INT16, v1::DATA_TYPE_FLOAT8_E4M3FN,
        v1::DATA_TYPE_FLOAT8_E5M2}) {
    Request request = TwoByThree();
    for (v1::Tensor* tensor :
         {request.mutable_weights(), request.mutable_pos_weight(),
          request.mutable_upstream_gradient()}) {
      tensor->set_dtype(type);
      tensor->add_values(1);
    }
    const Reading reading(request);
    ASSERT_TRUE(reading.status.ok()) << reading.status;
    EXPECT_EQ(ToProto(reading.valid.segment().weights.tensor.type), type);
    EXPECT_EQ(reading.valid.segment().upstream_scalar, 1);
  }
}

TEST(Validation, KeepsLittleMemoryAfterALargeRequest) {
  constexpr int kCount = 1 << 18;
  Request request;
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets()}) {
    for (int i = 0; i < kCount; ++i) tensor->add_values(0);
    // Dimensions of 1 change nothing, but they must be stored.
    for (int i = 0; i < kMaxDimensions; ++i) tensor->add_shape(1);
    tensor->set_shape(0, kCount);
  }
  Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_GT(reading.valid.kept_bytes(), 2 * kCount * sizeof(float));
  reading.valid.Clear();
  EXPECT_LT(reading.valid.kept_bytes(), kCount * sizeof(float) / 4);
  // The object can be used again.
  EXPECT_TRUE(reading.valid.Read(reading.parser).ok());
  EXPECT_EQ(reading.valid.segment().element_count, uint64_t{kCount});
}

}  // namespace
}  // namespace lossd::request
