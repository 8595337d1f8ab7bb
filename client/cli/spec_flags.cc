#include "client/cli/spec_flags.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/data_type.h"
#include "client/cpp/spec_check.h"
#include "google/protobuf/descriptor.h"

ABSL_FLAG(std::string, kind, "",
          "the loss: sigmoid_cross_entropy (the default), sigmoid_focal or "
          "asymmetric");
ABSL_FLAG(std::string, reduction, "", "mean (the default), sum or none");
ABSL_FLAG(std::string, normalizer, "",
          "what mean divides by: elements (the default), valid, batch, "
          "nonzero_weights, weight_sum or caller");
ABSL_FLAG(double, normalizer_value, 0, "with --normalizer=caller");
ABSL_FLAG(std::optional<double>, loss_weight, std::nullopt,
          "scales loss and gradient");
ABSL_FLAG(std::optional<double>, ignore_target, std::nullopt,
          "elements with this target take no part");
ABSL_FLAG(double, label_smoothing, 0, "in [0, 1)");
ABSL_FLAG(double, focal_gamma, 0, "with --kind=sigmoid_focal: at least 0");
ABSL_FLAG(std::optional<double>, focal_alpha, std::nullopt,
          "with --kind=sigmoid_focal: in [0, 1]");
ABSL_FLAG(double, asymmetric_gamma_positive, 0,
          "with --kind=asymmetric: at least 0");
ABSL_FLAG(double, asymmetric_gamma_negative, 0,
          "with --kind=asymmetric: at least 0");
ABSL_FLAG(double, asymmetric_margin, 0, "with --kind=asymmetric: in [0, 1)");
ABSL_FLAG(bool, gradient, true, "compute the gradient");
ABSL_FLAG(std::string, gradient_dtype, "",
          "float32, float64, bfloat16 or float16; the default is the logits'");
ABSL_FLAG(std::string, nan_policy, "", "reject (the default) or propagate");
ABSL_FLAG(std::string, target_range, "", "unit_interval (the default) or any");

namespace lossd::cli {
namespace {

using google::protobuf::EnumDescriptor;

// The enum value that `flag` names, without its prefix and in lower case. An
// empty flag is the unspecified value, 0.
absl::StatusOr<int> ParseEnum(const absl::Flag<std::string>& flag,
                              absl::string_view flag_name,
                              const EnumDescriptor& type,
                              absl::string_view prefix) {
  const std::string name = absl::GetFlag(flag);
  if (name.empty()) return 0;
  const auto* value =
      type.FindValueByName(absl::StrCat(prefix, absl::AsciiStrToUpper(name)));
  if (value != nullptr) return value->number();
  std::string known;
  for (int i = 1; i < type.value_count(); ++i) {
    absl::string_view full = type.value(i)->name();
    full.remove_prefix(prefix.size());
    absl::StrAppend(&known, i > 1 ? ", " : "", absl::AsciiStrToLower(full));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag_name, ": \"", name, "\" is none of ", known));
}

absl::Status ReadEnums(v1::LossSpec& spec) {
  const auto kind =
      ParseEnum(FLAGS_kind, "kind", *v1::LossKind_descriptor(), "LOSS_KIND_");
  if (!kind.ok()) return kind.status();
  const auto reduction = ParseEnum(FLAGS_reduction, "reduction",
                                   *v1::Reduction_descriptor(), "REDUCTION_");
  if (!reduction.ok()) return reduction.status();
  const auto normalizer =
      ParseEnum(FLAGS_normalizer, "normalizer", *v1::Normalizer_descriptor(),
                "NORMALIZER_");
  if (!normalizer.ok()) return normalizer.status();
  const auto nan_policy = ParseEnum(FLAGS_nan_policy, "nan_policy",
                                    *v1::NanPolicy_descriptor(), "NAN_POLICY_");
  if (!nan_policy.ok()) return nan_policy.status();
  const auto range = ParseEnum(FLAGS_target_range, "target_range",
                               *v1::TargetRange_descriptor(), "TARGET_RANGE_");
  if (!range.ok()) return range.status();
  if (const std::string type = absl::GetFlag(FLAGS_gradient_dtype);
      !type.empty()) {
    const auto gradient = FloatTypeNamed("gradient_dtype", type);
    if (!gradient.ok()) return gradient.status();
    spec.set_gradient_dtype(*gradient);
  }
  spec.set_kind(static_cast<v1::LossKind>(*kind));
  spec.set_reduction(static_cast<v1::Reduction>(*reduction));
  spec.set_normalizer(static_cast<v1::Normalizer>(*normalizer));
  spec.set_nan_policy(static_cast<v1::NanPolicy>(*nan_policy));
  spec.set_target_range(static_cast<v1::TargetRange>(*range));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<v1::LossSpec> SpecFromFlags() {
  v1::LossSpec spec;
  if (absl::Status status = ReadEnums(spec); !status.ok()) return status;
  spec.set_normalizer_value(absl::GetFlag(FLAGS_normalizer_value));
  if (const auto weight = absl::GetFlag(FLAGS_loss_weight)) {
    spec.set_loss_weight(*weight);
  }
  if (const auto ignored = absl::GetFlag(FLAGS_ignore_target)) {
    spec.set_ignore_target(*ignored);
  }
  spec.set_label_smoothing(absl::GetFlag(FLAGS_label_smoothing));
  spec.set_focal_gamma(absl::GetFlag(FLAGS_focal_gamma));
  if (const auto alpha = absl::GetFlag(FLAGS_focal_alpha)) {
    spec.set_focal_alpha(*alpha);
  }
  spec.set_asymmetric_gamma_positive(
      absl::GetFlag(FLAGS_asymmetric_gamma_positive));
  spec.set_asymmetric_gamma_negative(
      absl::GetFlag(FLAGS_asymmetric_gamma_negative));
  spec.set_asymmetric_margin(absl::GetFlag(FLAGS_asymmetric_margin));
  if (!absl::GetFlag(FLAGS_gradient)) {
    spec.set_gradient(v1::GRADIENT_MODE_OMIT);
  }
  // The flags are named as the fields are.
  if (absl::Status s = client::CheckParameters(spec); !s.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--", s.message()));
  }
  return spec;
}

absl::StatusOr<v1::DataType> FloatTypeNamed(absl::string_view flag_name,
                                            absl::string_view name) {
  for (const ElementType type : kFloatTypes) {
    if (Name(type) == std::string_view(name.data(), name.size())) {
      return ToProto(type);
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag_name, ": \"", name,
                   "\" is none of float32, float64, bfloat16, float16"));
}

}  // namespace lossd::cli
