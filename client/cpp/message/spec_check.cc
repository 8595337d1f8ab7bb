#include "client/cpp/message/spec_check.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace lossd::client {
namespace {

// An option that is read with one value of another option alone.
struct Parameter {
  absl::string_view name;
  bool set;
  v1::LossKind kind;  // the kind to which it belongs
};

// Returns an enum value's name without its prefix, such as "sigmoid_focal".
std::string Lower(absl::string_view name, absl::string_view prefix) {
  return absl::AsciiStrToLower(absl::StripPrefix(name, prefix));
}

std::string NameOf(v1::LossKind kind) {
  return Lower(v1::LossKind_Name(kind), "LOSS_KIND_");
}

absl::Status Unread(absl::string_view name, absl::string_view option,
                    absl::string_view reader, absl::string_view chosen) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": is for ", option, " ", reader, ", and the ", option,
                   " is ", chosen, ", which would ignore it"));
}

absl::Status CheckNormalizer(const v1::LossSpec& spec) {
  const bool is_mean = spec.reduction() == v1::REDUCTION_UNSPECIFIED ||
                       spec.reduction() == v1::REDUCTION_MEAN;
  if (!is_mean && spec.normalizer() != v1::NORMALIZER_UNSPECIFIED &&
      v1::Reduction_IsValid(spec.reduction())) {
    return Unread("normalizer", "reduction", "mean",
                  Lower(v1::Reduction_Name(spec.reduction()), "REDUCTION_"));
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
  if (!v1::LossKind_IsValid(kind)) return CheckNormalizer(spec);
  constexpr v1::LossKind kFocal = v1::LOSS_KIND_SIGMOID_FOCAL;
  constexpr v1::LossKind kAsymmetric = v1::LOSS_KIND_ASYMMETRIC;
  const Parameter parameters[] = {
      {"focal_gamma", spec.focal_gamma() != 0, kFocal},
      {"focal_alpha", spec.has_focal_alpha(), kFocal},
      {"asymmetric_gamma_positive", spec.asymmetric_gamma_positive() != 0,
       kAsymmetric},
      {"asymmetric_gamma_negative", spec.asymmetric_gamma_negative() != 0,
       kAsymmetric},
      {"asymmetric_margin", spec.asymmetric_margin() != 0, kAsymmetric},
  };
  for (const Parameter& parameter : parameters) {
    if (!parameter.set || parameter.kind == kind) continue;
    return Unread(parameter.name, "kind", NameOf(parameter.kind), NameOf(kind));
  }
  return CheckNormalizer(spec);
}

}  // namespace lossd::client
