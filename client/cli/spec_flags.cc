#include "client/cli/spec_flags.h"

#include <google/protobuf/descriptor.h>

#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/data_type.h"
#include "client/cpp/message/spec_check.h"

namespace lossd::cli {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::GetEnumDescriptor;

// Returns what the names of an enum's values begin with: LOSS_KIND_.
absl::string_view PrefixOf(const EnumDescriptor& type) {
  return absl::StripSuffix(type.FindValueByNumber(0)->name(), "UNSPECIFIED");
}

// Returns the names of an enum's values as flags have them: without the prefix
// and in lower case. The unspecified value is left out.
std::vector<std::string> NamesOf(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 1; i < type.value_count(); ++i) {
    const absl::string_view full = type.value(i)->name();
    names.push_back(
        absl::AsciiStrToLower(absl::StripPrefix(full, PrefixOf(type))));
  }
  return names;
}

// Returns a flag's value that names a value of Enum.
template <typename Enum>
FlagValue EnumValue(std::string* name) {
  return NameValue(name, NamesOf(*GetEnumDescriptor<Enum>()));
}

std::vector<std::string> FloatTypeNames() {
  std::vector<std::string> names;
  names.reserve(kFloatTypes.size());
  for (const ElementType type : kFloatTypes) names.emplace_back(Name(type));
  return names;
}

// Stores the enum value that `name`, the value of a flag, stands for. An empty
// name is 0, the unspecified value.
template <typename Enum>
absl::Status ReadEnum(absl::string_view flag, absl::string_view name,
                      Enum* read) {
  if (name.empty()) return absl::OkStatus();
  const EnumDescriptor& type = *GetEnumDescriptor<Enum>();
  const auto* value = type.FindValueByName(
      absl::StrCat(PrefixOf(type), absl::AsciiStrToUpper(name)));
  if (value != nullptr) {
    *read = static_cast<Enum>(value->number());
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": \"", name, "\" is none of ",
                   absl::StrJoin(NamesOf(type), ", ")));
}

absl::Status ReadEnums(const SpecFlags& flags, v1::LossSpec& spec) {
  v1::LossKind kind{};
  v1::Reduction reduction{};
  v1::Normalizer normalizer{};
  v1::NanPolicy nan_policy{};
  v1::TargetRange range{};
  v1::TargetShapeRule shape_rule{};
  v1::SoftTargetRule soft_targets{};
  for (const absl::Status& status :
       {ReadEnum("kind", flags.kind, &kind),
        ReadEnum("reduction", flags.reduction, &reduction),
        ReadEnum("normalizer", flags.normalizer, &normalizer),
        ReadEnum("nan_policy", flags.nan_policy, &nan_policy),
        ReadEnum("target_range", flags.target_range, &range),
        ReadEnum("target_shape_rule", flags.target_shape_rule, &shape_rule),
        ReadEnum("soft_targets", flags.soft_targets, &soft_targets)}) {
    if (!status.ok()) return status;
  }
  spec.set_soft_targets(soft_targets);
  spec.set_kind(kind);
  spec.set_reduction(reduction);
  spec.set_normalizer(normalizer);
  spec.set_nan_policy(nan_policy);
  spec.set_target_range(range);
  spec.set_target_shape_rule(shape_rule);
  return absl::OkStatus();
}

absl::Status ReadTypes(const SpecFlags& flags, v1::LossSpec& spec) {
  if (!flags.gradient_dtype.empty()) {
    const auto gradient =
        FloatTypeNamed("gradient_dtype", flags.gradient_dtype);
    if (!gradient.ok()) return gradient.status();
    spec.set_gradient_dtype(*gradient);
  }
  if (!flags.losses_dtype.empty()) {
    const auto losses = FloatTypeNamed("losses_dtype", flags.losses_dtype);
    if (!losses.ok()) return losses.status();
    spec.set_losses_dtype(*losses);
  }
  return absl::OkStatus();
}

void ReadNumbers(const SpecFlags& flags, v1::LossSpec& spec) {
  spec.set_normalizer_value(flags.normalizer_value);
  if (flags.loss_weight) spec.set_loss_weight(*flags.loss_weight);
  if (flags.ignore_target) spec.set_ignore_target(*flags.ignore_target);
  spec.set_label_smoothing(flags.label_smoothing);
  if (flags.label_smoothing_prior) {
    spec.set_label_smoothing_prior(*flags.label_smoothing_prior);
  }
  if (flags.focal_gamma) spec.set_focal_gamma(*flags.focal_gamma);
  if (flags.focal_alpha) spec.set_focal_alpha(*flags.focal_alpha);
  if (flags.asymmetric_gamma_positive) {
    spec.set_asymmetric_gamma_positive(*flags.asymmetric_gamma_positive);
  }
  if (flags.asymmetric_gamma_negative) {
    spec.set_asymmetric_gamma_negative(*flags.asymmetric_gamma_negative);
  }
  if (flags.asymmetric_margin) {
    spec.set_asymmetric_margin(*flags.asymmetric_margin);
  }
  if (flags.poly_epsilon) spec.set_poly_epsilon(*flags.poly_epsilon);
  spec.set_detach_focus(flags.detach_focus);
}

// Refuses a kind none of whose own parameters is given. With all of them 0 it
// is the cross-entropy, or one with weights, which nobody means who names the
// kind. lossd.Client refuses the same.
absl::Status CheckOwnParameters(const SpecFlags& flags, v1::LossKind kind) {
  const bool focal = flags.focal_gamma.has_value();
  const struct {
    v1::LossKind kind;
    bool given;
    absl::string_view flag;
    absl::string_view paper;
  } needs[] = {
      {v1::LOSS_KIND_SIGMOID_FOCAL, focal, "focal_gamma",
       "--focal_gamma=2 --focal_alpha=0.25"},
      {v1::LOSS_KIND_ASYMMETRIC,
       flags.asymmetric_gamma_positive.has_value() ||
           flags.asymmetric_gamma_negative.has_value() ||
           flags.asymmetric_margin.has_value(),
       "asymmetric_gamma_positive",
       "--asymmetric_gamma_positive=1 --asymmetric_gamma_negative=4 "
       "--asymmetric_margin=0.05"},
      {v1::LOSS_KIND_POLY, flags.poly_epsilon.has_value(), "poly_epsilon",
       "--poly_epsilon=1"},
      {v1::LOSS_KIND_QUALITY_FOCAL, focal, "focal_gamma", "--focal_gamma=2"},
      {v1::LOSS_KIND_VARIFOCAL, focal, "focal_gamma",
       "--focal_gamma=2 --focal_alpha=0.75"},
  };
  for (const auto& need : needs) {
    if (need.kind != kind || need.given) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--", need.flag, ": --kind=", flags.kind,
                     " needs it; its paper has ", need.paper));
  }
  return absl::OkStatus();
}

}  // namespace

FlagGroup SpecRows(SpecFlags& flags) {
  return {
      "Compute",
      {{"kind", EnumValue<v1::LossKind>(&flags.kind),
        "the loss: sigmoid_cross_entropy, sigmoid_focal, asymmetric, poly, "
        "quality_focal or varifocal; empty is sigmoid_cross_entropy"},
       {"reduction", EnumValue<v1::Reduction>(&flags.reduction),
        "how the elements' losses become one: mean, sum, none (each is "
        "returned), rows (one for each index of the first dimension) or "
        "mean_of_rows; empty is mean"},
       {"normalizer", EnumValue<v1::Normalizer>(&flags.normalizer),
        "the divisor of --reduction=mean, and of each row: elements (all), "
        "valid "
        "(those not ignored), batch (the first dimension; of a row 1), "
        "nonzero_weights (not ignored, "
        "and weight not 0), weight_sum, or caller (--normalizer_value); empty "
        "is elements"},
       {"normalizer_value", AnyValue(&flags.normalizer_value),
        "the divisor itself, for --normalizer=caller"},
       {"loss_weight", AnyValue(&flags.loss_weight),
        "factor of the loss and the gradient; empty is 1"},
       {"ignore_target", AnyValue(&flags.ignore_target),
        "elements with this target, which may be nan, have no loss and no "
        "gradient; empty ignores none"},
       {"label_smoothing", AnyValue(&flags.label_smoothing),
        "how far targets are moved towards --label_smoothing_prior, in [0, 1)"},
       {"label_smoothing_prior", AnyValue(&flags.label_smoothing_prior),
        "what --label_smoothing moves targets towards, in [0, 1]; empty is "
        "1/2"},
       {"focal_gamma", AnyValue(&flags.focal_gamma),
        "focusing exponent, at least 0, which --kind=sigmoid_focal, "
        "quality_focal and varifocal need (their papers have 2); for poly, "
        "empty is 0"},
       {"focal_alpha", AnyValue(&flags.focal_alpha),
        "weight of positive targets for --kind=sigmoid_focal and poly, in [0, "
        "1], where empty weighs positives and negatives alike; for varifocal "
        "that of negative ones, where empty is 0.75"},
       {"asymmetric_gamma_positive", AnyValue(&flags.asymmetric_gamma_positive),
        "focusing exponent of positive targets for --kind=asymmetric, at least "
        "0"},
       {"asymmetric_gamma_negative", AnyValue(&flags.asymmetric_gamma_negative),
        "focusing exponent of negative targets for --kind=asymmetric, at least "
        "0"},
       {"asymmetric_margin", AnyValue(&flags.asymmetric_margin),
        "probability margin of negative targets for --kind=asymmetric, in [0, "
        "1)"},
       {"poly_epsilon", AnyValue(&flags.poly_epsilon),
        "factor of the polynomial term of --kind=poly, which needs it"},
       {"soft_targets", EnumValue<v1::SoftTargetRule>(&flags.soft_targets),
        "what a target between 0 and 1 means to --kind=sigmoid_focal and poly: "
        "linear (in the probability) or mixture (of the two losses); empty is "
        "linear"},
       {"detach_focus", AnyValue(&flags.detach_focus),
        "take the powers of --kind=sigmoid_focal and asymmetric as constants "
        "in the derivatives"},
       {"gradient", AnyValue(&flags.gradient),
        "compute the gradient with respect to the logits"},
       {"second_derivative", AnyValue(&flags.second_derivative),
        "compute the second derivative with respect to each logit"},
       {"gradient_dtype", FloatTypeValue(&flags.gradient_dtype),
        "dtype of the gradient and the second derivative: float32, float64, "
        "bfloat16, float16, float8_e4m3fn or float8_e5m2; empty is the "
        "logits'"},
       {"losses_dtype", FloatTypeValue(&flags.losses_dtype),
        "dtype of the losses of --reduction=none and rows: float32, float64, "
        "bfloat16, float16, float8_e4m3fn or float8_e5m2; empty is the "
        "logits'"},
       {"nan_policy", EnumValue<v1::NanPolicy>(&flags.nan_policy),
        "NaN logits, and weights, positive weights and upstream gradients that "
        "are not finite: reject (the call fails) or propagate (to the "
        "results); empty is reject"},
       {"target_range", EnumValue<v1::TargetRange>(&flags.target_range),
        "targets that are accepted: unit_interval ([0, 1]) or any; empty is "
        "unit_interval"},
       {"target_shape_rule",
        EnumValue<v1::TargetShapeRule>(&flags.target_shape_rule),
        "shapes of targets that are accepted: same (the logits', dimensions of "
        "1 apart) or same_count (as many elements and the same first "
        "dimension, paired in row-major order); empty is same"}}};
}

absl::StatusOr<v1::LossSpec> MakeSpec(const SpecFlags& flags) {
  v1::LossSpec spec;
  if (absl::Status s = ReadEnums(flags, spec); !s.ok()) return s;
  if (absl::Status s = ReadTypes(flags, spec); !s.ok()) return s;
  ReadNumbers(flags, spec);
  if (!flags.gradient) spec.set_gradient(v1::GRADIENT_MODE_OMIT);
  if (flags.second_derivative) {
    spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
  }
  // The message begins with the field, which is also the flag.
  if (absl::Status s = client::CheckParameters(spec); !s.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("--", s.message()));
  }
  if (absl::Status s = CheckOwnParameters(flags, spec.kind()); !s.ok()) {
    return s;
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
      absl::StrCat("--", flag_name, ": \"", name, "\" is none of ",
                   absl::StrJoin(FloatTypeNames(), ", ")));
}

FlagValue FloatTypeValue(std::string* name) {
  return NameValue(name, FloatTypeNames());
}

}  // namespace lossd::cli
