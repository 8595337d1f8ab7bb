#include "client/cpp/message/spec_check.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "client/cpp/client.h"

namespace lossd::client {
namespace {

v1::LossSpec AllParametersOf(v1::LossKind kind) {
  v1::LossSpec spec;
  spec.set_kind(kind);
  if (kind == v1::LOSS_KIND_SIGMOID_FOCAL) {
    spec.set_focal_gamma(2);
    spec.set_focal_alpha(0.25);
  }
  if (kind == v1::LOSS_KIND_ASYMMETRIC) {
    spec.set_asymmetric_gamma_positive(1);
    spec.set_asymmetric_gamma_negative(4);
    spec.set_asymmetric_margin(0.05);
  }
  if (kind >= v1::LOSS_KIND_POLY) spec.set_focal_gamma(2);
  if (kind == v1::LOSS_KIND_POLY) spec.set_poly_epsilon(1);
  if (kind == v1::LOSS_KIND_POLY || kind == v1::LOSS_KIND_VARIFOCAL) {
    spec.set_focal_alpha(0.25);
  }
  return spec;
}

TEST(SpecCheckTest, ItsOwnParametersAreRightForEachKind) {
  for (int kind = 0; kind <= v1::LossKind_MAX; ++kind) {
    const auto status =
        CheckParameters(AllParametersOf(static_cast<v1::LossKind>(kind)));
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(SpecCheckTest, AParameterOfAnotherKindIsNamed) {
  const auto message = [](v1::LossKind kind, auto set) {
    v1::LossSpec spec = AllParametersOf(kind);
    set(spec);
    return std::string(CheckParameters(spec).message());
  };
  const auto gamma = [](v1::LossSpec& spec) { spec.set_focal_gamma(2); };
  // A present field counts as set, even if it is 0.
  const auto alpha = [](v1::LossSpec& spec) { spec.set_focal_alpha(0); };
  EXPECT_EQ(message(v1::LOSS_KIND_UNSPECIFIED, gamma),
            "focal_gamma: is for kind sigmoid_focal, poly, quality_focal or "
            "varifocal, and the kind is sigmoid_cross_entropy, which would "
            "ignore it");
  EXPECT_EQ(message(v1::LOSS_KIND_ASYMMETRIC, alpha),
            "focal_alpha: is for kind sigmoid_focal, poly or varifocal, and "
            "the kind is asymmetric, which would ignore it");
  for (const char* name : {"asymmetric_gamma_positive",
                           "asymmetric_gamma_negative", "asymmetric_margin"}) {
    const auto set = [&](v1::LossSpec& spec) {
      spec.GetReflection()->SetDouble(
          &spec, spec.GetDescriptor()->FindFieldByName(name), 0.5);
    };
    EXPECT_EQ(message(v1::LOSS_KIND_SIGMOID_FOCAL, set),
              std::string(name) +
                  ": is for kind asymmetric, and the kind is sigmoid_focal, "
                  "which would ignore it");
  }
}

TEST(SpecCheckTest, AnOptionThatNothingReadsIsNamed) {
  const auto message = [](auto set) {
    v1::LossSpec spec;
    set(spec);
    return std::string(CheckParameters(spec).message());
  };
  EXPECT_EQ(message([](v1::LossSpec& s) { s.set_detach_focus(true); }),
            "detach_focus: is for kind sigmoid_focal or asymmetric, and the "
            "kind is sigmoid_cross_entropy, which would ignore it");
  EXPECT_EQ(message([](v1::LossSpec& s) { s.set_poly_epsilon(1); }),
            "poly_epsilon: is for kind poly, and the kind is "
            "sigmoid_cross_entropy, which would ignore it");
  EXPECT_EQ(message([](v1::LossSpec& s) {
              s.set_soft_targets(v1::SOFT_TARGET_RULE_LINEAR);
            }),
            "soft_targets: is for kind sigmoid_focal or poly, and the kind is "
            "sigmoid_cross_entropy, which would ignore it");
  EXPECT_EQ(message([](v1::LossSpec& s) {
              s.set_losses_dtype(v1::DATA_TYPE_FLOAT32);
            }),
            "losses_dtype: is for reduction none or rows, and the reduction is "
            "mean, which would ignore it");
  EXPECT_EQ(message([](v1::LossSpec& s) { s.set_label_smoothing_prior(0); }),
            "label_smoothing_prior: has no effect without label_smoothing");
}

TEST(SpecCheckTest, ANormalizerThatNothingReadsIsNamed) {
  v1::LossSpec spec;
  spec.set_normalizer_value(8);
  EXPECT_EQ(CheckParameters(spec).message(),
            "normalizer_value: is for normalizer caller, and the normalizer is "
            "elements, which would ignore it");
  spec.set_normalizer(v1::NORMALIZER_CALLER);
  EXPECT_TRUE(CheckParameters(spec).ok());
  spec.set_reduction(v1::REDUCTION_SUM);
  EXPECT_EQ(CheckParameters(spec).message(),
            "normalizer: is for reduction mean, rows or mean_of_rows, and the "
            "reduction is sum, which would ignore it");
  spec.clear_normalizer();
  spec.clear_normalizer_value();
  EXPECT_TRUE(CheckParameters(spec).ok());
}

TEST(SpecCheckTest, ANumberOfALaterVersionIsLeftToTheServer) {
  v1::LossSpec spec;
  spec.set_kind(static_cast<v1::LossKind>(99));
  spec.set_focal_gamma(2);
  EXPECT_TRUE(CheckParameters(spec).ok());
}

// An address where nothing listens, so that an answer other than UNAVAILABLE
// came without a call.
TEST(SpecCheckTest, EveryWayOfTheClientRefusesWithoutACall) {
  for (const int64_t stream_above : {int64_t{1} << 30, int64_t{0}}) {
    auto client = Client::Create(
        {.target = "127.0.0.1:1", .stream_above_bytes = stream_above});
    ASSERT_TRUE(client.ok()) << client.status();
    const std::vector<float> logits = {1, 2};
    LossRequest request{.logits = TensorView::Of<float>(logits),
                        .targets = TensorView::Of<float>(logits)};
    request.spec.set_asymmetric_margin(0.05);
    EXPECT_EQ((*client)->ComputeLoss(request).status().code(),
              absl::StatusCode::kInvalidArgument);
    absl::Notification done;
    (*client)->ComputeLossAsync(
        request, {}, [&](const absl::StatusOr<LossResult>& result) {
          EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
          done.Notify();
        });
    done.WaitForNotification();
  }
}

}  // namespace
}  // namespace lossd::client
