#include "client/cpp/message/spec_check.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace lossd::client {
namespace {

// Kinds as bits of a set.
constexpr unsigned Bit(v1::LossKind kind) { return 1u << kind; }
constexpr unsigned kFocal = Bit(v1::LOSS_KIND_SIGMOID_FOCAL);
constexpr unsigned kAsymmetric = Bit(v1::LOSS_KIND_ASYMMETRIC);
constexpr unsigned kPoly = Bit(v1::LOSS_KIND_POLY);
constexpr unsigned kQualityFocal = Bit(v1::LOSS_KIND_QUALITY_FOCAL);
constexpr unsigned kVarifocal = Bit(v1::LOSS_KIND_VARIFOCAL);

// An option that is read with some kinds alone.
struct Parameter {
  absl::string_view name;
  bool set;
  unsigned kinds;
};

// Returns an enum value's name without its prefix, such as "sigmoid_focal".
std::string Lower(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

std::string NameOf(v1::LossKind kind) {
  return Lower(v1::LossKind_Name(kind), "LOSS_KIND_");
}

// Returns the names of the kinds, such as "sigmoid_focal, poly or varifocal".
std::string NamesOf(unsigned kinds) {
  std::vector<std::string> names;
  for (int kind = v1::LossKind_MIN; kind <= v1::LossKind_MAX; ++kind) {
    const auto known = static_cast<v1::LossKind>(kind);
    if ((kinds & Bit(known)) != 0) names.push_back(NameOf(known));
  }
  std::string last = std::move(names.back());
  names.pop_back();
  if (names.empty()) return last;
  return absl::StrCat(absl::StrJoin(names, ", "), " or ", last);
}

absl::Status Unread(absl::string_view name, absl::string_view option,
                    absl::string_view reader, absl::string_view chosen) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": is for ", option, " ", reader, ", and the ", option,
                   " is ", chosen, ", which would ignore it"));
}

// Checks the options that depend on others than the kind.
absl::Status CheckOthers(const v1::LossSpec& spec) {
  const bool is_mean = spec.reduction() == v1::REDUCTION_UNSPECIFIED ||
                       spec.reduction() == v1::REDUCTION_MEAN;
  const bool has_rows = spec.reduction() == v1::REDUCTION_ROWS ||
                        spec.reduction() == v1::REDUCTION_MEAN_OF_ROWS;
  if (!is_mean && !has_rows &&
      spec.normalizer() != v1::NORMALIZER_UNSPECIFIED &&
      v1::Reduction_IsValid(spec.reduction())) {
    return Unread("normalizer", "reduction", "mean, rows or mean_of_rows",
                  Lower(v1::Reduction_Name(spec.reduction()), "REDUCTION_"));
  }
  if (spec.losses_dtype() != v1::DATA_TYPE_UNSPECIFIED &&
      spec.reduction() != v1::REDUCTION_NONE &&
      spec.reduction() != v1::REDUCTION_ROWS &&
      v1::Reduction_IsValid(spec.reduction())) {
    return Unread(
        "losses_dtype", "reduction", "none or rows",
        is_mean ? "mean"
                : Lower(v1::Reduction_Name(spec.reduction()), "REDUCTION_"));
  }
  if (spec.has_label_smoothing_prior() && spec.label_smoothing() == 0) {
    return absl::InvalidArgumentError(
        "label_smoothing_prior: has no effect without label_smoothing");
  }
  if (spec.normalizer_value() == 0 ||
      spec.normalizer() == v1::NORMALIZER_CALLER ||
      !v1::Normalizer_IsValid(spec.normalizer())) {
    return absl::OkStatus();
  }
  const v1::Normalizer chosen = spec.normalizer() == v1::NORMALIZER_UNSPECIFIED
                                    ? v1::NORMALIZER_ELEMENTS
                                    : spec.normalizer();
  return Unread("normalizer_value", "normalizer", "caller",
                Lower(v1::Normalizer_Name(chosen), "NORMALIZER_"));
}

}  // namespace

absl::Status CheckParameters(const v1::LossSpec& spec) {
  const v1::LossKind kind = spec.kind() == v1::LOSS_KIND_UNSPECIFIED
                                ? v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY
                                : spec.kind();
  // The server may know a number that this build does not.
  if (!v1::LossKind_IsValid(kind)) return CheckOthers(spec);
  const Parameter parameters[] = {
      {"focal_gamma", spec.focal_gamma() != 0,
       kFocal | kPoly | kQualityFocal | kVarifocal},
      {"focal_alpha", spec.has_focal_alpha(), kFocal | kPoly | kVarifocal},
      {"soft_targets", spec.soft_targets() != v1::SOFT_TARGET_RULE_UNSPECIFIED,
       kFocal | kPoly},
      {"poly_epsilon", spec.poly_epsilon() != 0, kPoly},
      {"detach_focus", spec.detach_focus(), kFocal | kAsymmetric},
      {"asymmetric_gamma_positive", spec.asymmetric_gamma_positive() != 0,
       kAsymmetric},
      {"asymmetric_gamma_negative", spec.asymmetric_gamma_negative() != 0,
       kAsymmetric},
      {"asymmetric_margin", spec.asymmetric_margin() != 0, kAsymmetric},
  };
  for (const Parameter& parameter : parameters) {
    if (!parameter.set || (parameter.kinds & Bit(kind)) != 0) continue;
    return Unread(parameter.name, "kind", NamesOf(parameter.kinds),
                  NameOf(kind));
  }
  return CheckOthers(spec);
}

}  // namespace lossd::client
