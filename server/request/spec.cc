#include "server/request/spec.h"

#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/base/status_macros.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

absl::Status UnknownNumber(absl::string_view path, int number) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", number, " is not a value of this enum"));
}

absl::Status BadValue(absl::string_view path, double value,
                      absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", NumberText(value), " is not ", rule));
}

// An option that only one value of another option reads.
struct Dependent {
  absl::string_view path;
  bool set;                  // it has another value than its default
  absl::string_view reader;  // what reads it
};

// Refuses the options that are set, because what `chosen` names does not read
// them. The name is asked for only then, because enums are slow to name.
absl::Status RefuseUnread(std::span<const Dependent> options,
                          absl::FunctionRef<std::string()> chosen) {
  for (const Dependent& option : options) {
    if (!option.set) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(option.path, ": has no effect with ", chosen(),
                     "; it is for ", option.reader));
  }
  return absl::OkStatus();
}

absl::Status ReadGamma(absl::string_view path, double value, double* gamma) {
  if (!(value >= 0) || std::isinf(value)) {
    return BadValue(path, value, "at least 0 and finite");
  }
  *gamma = value;
  return absl::OkStatus();
}

// Kinds as bits of a set.
constexpr unsigned Bit(v1::LossKind kind) { return 1u << kind; }
constexpr unsigned kFocal = Bit(v1::LOSS_KIND_SIGMOID_FOCAL);
constexpr unsigned kAsymmetric = Bit(v1::LOSS_KIND_ASYMMETRIC);
constexpr unsigned kPoly = Bit(v1::LOSS_KIND_POLY);
constexpr unsigned kQualityFocal = Bit(v1::LOSS_KIND_QUALITY_FOCAL);
constexpr unsigned kVarifocal = Bit(v1::LOSS_KIND_VARIFOCAL);

// Returns the names of the kinds, for a message.
std::string KindNames(unsigned kinds) {
  std::vector<std::string> names;
  for (const v1::LossKind kind : kLossKinds) {
    if ((kinds & Bit(kind)) != 0) names.push_back(v1::LossKind_Name(kind));
  }
  return absl::StrJoin(names, ", ");
}

// Refuses the parameters of other kinds. `kind` is known.
absl::Status CheckKindsParameters(const v1::LossSpec& spec, v1::LossKind kind) {
  const struct {
    absl::string_view path;
    bool set;
    unsigned readers;  // the kinds that read it
  } parameters[] = {
      {"spec.focal_gamma", spec.focal_gamma() != 0,
       kFocal | kPoly | kQualityFocal | kVarifocal},
      {"spec.focal_alpha", spec.has_focal_alpha(), kFocal | kPoly | kVarifocal},
      {"spec.asymmetric_gamma_positive", spec.asymmetric_gamma_positive() != 0,
       kAsymmetric},
      {"spec.asymmetric_gamma_negative", spec.asymmetric_gamma_negative() != 0,
       kAsymmetric},
      {"spec.asymmetric_margin", spec.asymmetric_margin() != 0, kAsymmetric},
      {"spec.soft_targets",
       spec.soft_targets() != v1::SOFT_TARGET_RULE_UNSPECIFIED, kFocal | kPoly},
      {"spec.poly_epsilon", spec.poly_epsilon() != 0, kPoly},
      {"spec.detach_focus", spec.detach_focus(), kFocal | kAsymmetric},
  };
  for (const auto& [path, set, readers] : parameters) {
    if (!set || (readers & Bit(kind)) != 0) continue;
    return RefuseUnread({{{path, true, KindNames(readers)}}},
                        [kind] { return v1::LossKind_Name(kind); });
  }
  return absl::OkStatus();
}

absl::Status ReadSoftTargets(const v1::LossSpec& spec,
                             kernels::LossOptions* options) {
  if (!v1::SoftTargetRule_IsValid(spec.soft_targets())) {
    return UnknownNumber("spec.soft_targets", spec.soft_targets());
  }
  options->mixes_soft_targets =
      spec.soft_targets() == v1::SOFT_TARGET_RULE_MIXTURE;
  return absl::OkStatus();
}

absl::Status ReadPoly(const v1::LossSpec& spec, kernels::LossOptions* options) {
  options->poly_epsilon = spec.poly_epsilon();
  if (!std::isfinite(options->poly_epsilon)) {
    return BadValue("spec.poly_epsilon", options->poly_epsilon, "finite");
  }
  return absl::OkStatus();
}

absl::Status ReadFocal(const v1::LossSpec& spec,
                       kernels::LossOptions* options) {
  if (spec.has_focal_alpha()) {
    if (!(spec.focal_alpha() >= 0 && spec.focal_alpha() <= 1)) {
      return BadValue("spec.focal_alpha", spec.focal_alpha(), "in [0, 1]");
    }
    options->focal_alpha = spec.focal_alpha();
  }
  return ReadGamma("spec.focal_gamma", spec.focal_gamma(),
                   &options->focal_gamma);
}

absl::Status ReadAsymmetric(const v1::LossSpec& spec,
                            kernels::LossOptions* options) {
  options->asymmetric_margin = spec.asymmetric_margin();
  if (!(options->asymmetric_margin >= 0 && options->asymmetric_margin < 1)) {
    return BadValue("spec.asymmetric_margin", options->asymmetric_margin,
                    "in [0, 1)");
  }
  RETURN_IF_ERROR(ReadGamma("spec.asymmetric_gamma_positive",
                            spec.asymmetric_gamma_positive(),
                            &options->asymmetric_gamma_positive));
  return ReadGamma("spec.asymmetric_gamma_negative",
                   spec.asymmetric_gamma_negative(),
                   &options->asymmetric_gamma_negative);
}

absl::Status ReadKind(const v1::LossSpec& spec, kernels::LossOptions* options) {
  const v1::LossKind kind = spec.kind() == v1::LOSS_KIND_UNSPECIFIED
                                ? v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY
                                : spec.kind();
  if (!v1::LossKind_IsValid(kind)) return UnknownNumber("spec.kind", kind);
  RETURN_IF_ERROR(CheckKindsParameters(spec, kind));
  RETURN_IF_ERROR(ReadSoftTargets(spec, options));
  options->detaches_focus = spec.detach_focus();
  switch (kind) {
    case v1::LOSS_KIND_SIGMOID_FOCAL:
      options->kind = kernels::LossKind::kSigmoidFocal;
      return ReadFocal(spec, options);
    case v1::LOSS_KIND_POLY:
      options->kind = kernels::LossKind::kPoly;
      RETURN_IF_ERROR(ReadPoly(spec, options));
      return ReadFocal(spec, options);
    case v1::LOSS_KIND_QUALITY_FOCAL:
      options->kind = kernels::LossKind::kQualityFocal;
      return ReadFocal(spec, options);
    case v1::LOSS_KIND_VARIFOCAL:
      options->kind = kernels::LossKind::kVarifocal;
      return ReadFocal(spec, options);
    case v1::LOSS_KIND_ASYMMETRIC:
      options->kind = kernels::LossKind::kAsymmetric;
      return ReadAsymmetric(spec, options);
    default:
      options->kind = kernels::LossKind::kSigmoidCrossEntropy;
      return absl::OkStatus();
  }
}

absl::Status ReadReduction(const v1::LossSpec& spec,
                           kernels::LossOptions* options) {
  switch (spec.reduction()) {
    case v1::REDUCTION_UNSPECIFIED:
    case v1::REDUCTION_MEAN:
      options->reduction = kernels::Reduction::kMean;
      return absl::OkStatus();
    case v1::REDUCTION_SUM:
      options->reduction = kernels::Reduction::kSum;
      return absl::OkStatus();
    case v1::REDUCTION_NONE:
      options->reduction = kernels::Reduction::kNone;
      return absl::OkStatus();
    case v1::REDUCTION_ROWS:
      options->reduction = kernels::Reduction::kRows;
      return absl::OkStatus();
    case v1::REDUCTION_MEAN_OF_ROWS:
      options->reduction = kernels::Reduction::kMeanOfRows;
      return absl::OkStatus();
    default:
      return UnknownNumber("spec.reduction", spec.reduction());
  }
}

absl::Status ReadNormalizer(const v1::LossSpec& spec,
                            kernels::LossOptions* options) {
  using kernels::Normalizer;
  switch (spec.normalizer()) {
    case v1::NORMALIZER_UNSPECIFIED:
    case v1::NORMALIZER_ELEMENTS:
      options->normalizer = Normalizer::kElements;
      break;
    case v1::NORMALIZER_VALID:
      options->normalizer = Normalizer::kValid;
      break;
    case v1::NORMALIZER_BATCH:
      options->normalizer = Normalizer::kBatch;
      break;
    case v1::NORMALIZER_NONZERO_WEIGHTS:
      options->normalizer = Normalizer::kNonzeroWeights;
      break;
    case v1::NORMALIZER_WEIGHT_SUM:
      options->normalizer = Normalizer::kWeightSum;
      break;
    case v1::NORMALIZER_CALLER:
      options->normalizer = Normalizer::kCaller;
      break;
    default:
      return UnknownNumber("spec.normalizer", spec.normalizer());
  }
  return absl::OkStatus();
}

// Reads what the normalizer depends on; the reduction and the normalizer have
// been read.
absl::Status ReadNormalizerValue(const v1::LossSpec& spec,
                                 kernels::LossOptions* options) {
  const v1::Normalizer normalizer =
      spec.normalizer() == v1::NORMALIZER_UNSPECIFIED ? v1::NORMALIZER_ELEMENTS
                                                      : spec.normalizer();
  const bool divides = options->reduction == kernels::Reduction::kMean ||
                       kernels::HasRows(*options);
  const bool is_caller = normalizer == v1::NORMALIZER_CALLER;
  const Dependent of_means[] = {
      {"spec.normalizer",
       !divides && spec.normalizer() != v1::NORMALIZER_UNSPECIFIED,
       "REDUCTION_MEAN, REDUCTION_ROWS, REDUCTION_MEAN_OF_ROWS"}};
  RETURN_IF_ERROR(RefuseUnread(
      of_means, [&spec] { return v1::Reduction_Name(spec.reduction()); }));
  const Dependent of_caller[] = {{"spec.normalizer_value",
                                  !is_caller && spec.normalizer_value() != 0,
                                  "NORMALIZER_CALLER"}};
  RETURN_IF_ERROR(RefuseUnread(
      of_caller, [normalizer] { return v1::Normalizer_Name(normalizer); }));
  options->reject_negative_weights = normalizer == v1::NORMALIZER_WEIGHT_SUM;
  if (!is_caller) return absl::OkStatus();
  options->normalizer_value = spec.normalizer_value();
  if (!(options->normalizer_value > 0) ||
      std::isinf(options->normalizer_value)) {
    return BadValue("spec.normalizer_value", options->normalizer_value,
                    "greater than 0 and finite, as NORMALIZER_CALLER asks for");
  }
  return absl::OkStatus();
}

// Returns true if the loss has no meaning for targets outside [0, 1].
bool NeedsUnitInterval(const kernels::LossOptions& options) {
  switch (options.kind) {
    case kernels::LossKind::kSigmoidFocal:
    case kernels::LossKind::kPoly:
      return !options.mixes_soft_targets;
    case kernels::LossKind::kQualityFocal:
    case kernels::LossKind::kVarifocal:
      return true;
    case kernels::LossKind::kSigmoidCrossEntropy:
    case kernels::LossKind::kAsymmetric:
      return false;
  }
  return false;
}

absl::Status ReadPolicies(const v1::LossSpec& spec,
                          kernels::LossOptions* options) {
  switch (spec.nan_policy()) {
    case v1::NAN_POLICY_UNSPECIFIED:
    case v1::NAN_POLICY_REJECT:
      options->reject_nan_logits = true;
      break;
    case v1::NAN_POLICY_PROPAGATE:
      options->reject_nan_logits = false;
      break;
    default:
      return UnknownNumber("spec.nan_policy", spec.nan_policy());
  }
  switch (spec.target_range()) {
    case v1::TARGET_RANGE_UNSPECIFIED:
    case v1::TARGET_RANGE_UNIT_INTERVAL:
      options->targets_in_unit_interval = true;
      return absl::OkStatus();
    case v1::TARGET_RANGE_ANY:
      if (NeedsUnitInterval(*options)) {
        return absl::InvalidArgumentError(
            absl::StrCat("spec.target_range: TARGET_RANGE_ANY with ",
                         v1::LossKind_Name(spec.kind()),
                         " would take a power of a negative number"));
      }
      options->targets_in_unit_interval = false;
      return absl::OkStatus();
    default:
      return UnknownNumber("spec.target_range", spec.target_range());
  }
}

absl::Status ReadNumbers(const v1::LossSpec& spec,
                         kernels::LossOptions* options) {
  options->loss_weight = spec.has_loss_weight() ? spec.loss_weight() : 1;
  if (!std::isfinite(options->loss_weight)) {
    return BadValue("spec.loss_weight", options->loss_weight, "finite");
  }
  if (spec.has_ignore_target()) options->ignore_target = spec.ignore_target();
  return absl::OkStatus();
}

// Reads the smoothing; the kind has been read.
absl::Status ReadSmoothing(const v1::LossSpec& spec,
                           kernels::LossOptions* options) {
  options->label_smoothing = spec.label_smoothing();
  if (!(options->label_smoothing >= 0 && options->label_smoothing < 1)) {
    return BadValue("spec.label_smoothing", options->label_smoothing,
                    "in [0, 1)");
  }
  const bool smooths = options->label_smoothing != 0;
  if (smooths && options->kind == kernels::LossKind::kVarifocal) {
    return absl::InvalidArgumentError(
        "spec.label_smoothing: leaves no target at 0, which "
        "LOSS_KIND_VARIFOCAL has another loss for");
  }
  if (!spec.has_label_smoothing_prior()) return absl::OkStatus();
  if (!smooths) {
    return absl::InvalidArgumentError(
        "spec.label_smoothing_prior: has no effect without "
        "spec.label_smoothing");
  }
  options->label_smoothing_prior = spec.label_smoothing_prior();
  if (!(options->label_smoothing_prior >= 0 &&
        options->label_smoothing_prior <= 1)) {
    return BadValue("spec.label_smoothing_prior",
                    options->label_smoothing_prior, "in [0, 1]");
  }
  return absl::OkStatus();
}

// Checks what the segment is made of: the results and the targets' shape.
absl::Status CheckResults(const v1::LossSpec& spec,
                          const kernels::LossOptions& options) {
  if (!v1::GradientMode_IsValid(spec.gradient())) {
    return UnknownNumber("spec.gradient", spec.gradient());
  }
  if (!v1::DataType_IsValid(spec.gradient_dtype())) {
    return UnknownNumber("spec.gradient_dtype", spec.gradient_dtype());
  }
  if (!v1::SecondDerivativeMode_IsValid(spec.second_derivative())) {
    return UnknownNumber("spec.second_derivative", spec.second_derivative());
  }
  if (!v1::DataType_IsValid(spec.losses_dtype())) {
    return UnknownNumber("spec.losses_dtype", spec.losses_dtype());
  }
  const Dependent of_losses[] = {
      {"spec.losses_dtype",
       spec.losses_dtype() != v1::DATA_TYPE_UNSPECIFIED &&
           options.reduction != kernels::Reduction::kNone &&
           options.reduction != kernels::Reduction::kRows,
       "REDUCTION_NONE, REDUCTION_ROWS"}};
  RETURN_IF_ERROR(RefuseUnread(
      of_losses, [&spec] { return v1::Reduction_Name(spec.reduction()); }));
  if (!v1::TargetShapeRule_IsValid(spec.target_shape_rule())) {
    return UnknownNumber("spec.target_shape_rule", spec.target_shape_rule());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<kernels::LossOptions> ReadSpec(const v1::LossSpec& spec) {
  kernels::LossOptions options;
  // The kind comes first: the policies depend on it.
  RETURN_IF_ERROR(ReadKind(spec, &options));
  RETURN_IF_ERROR(ReadReduction(spec, &options));
  RETURN_IF_ERROR(ReadNormalizer(spec, &options));
  RETURN_IF_ERROR(ReadNormalizerValue(spec, &options));
  RETURN_IF_ERROR(ReadNumbers(spec, &options));
  RETURN_IF_ERROR(ReadSmoothing(spec, &options));
  RETURN_IF_ERROR(ReadPolicies(spec, &options));
  RETURN_IF_ERROR(CheckResults(spec, options));
  return options;
}

}  // namespace lossd::request
