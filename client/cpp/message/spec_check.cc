#include "client/cpp/message/spec_check.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace lossd::client {
namespace {

struct Parameter {
  absl::string_view name;
  v1::LossKind kind;  // the kind to which it belongs
  bool set;
};

// Returns the name of a kind, such as "sigmoid_focal".
std::string NameOf(v1::LossKind kind) {
  const std::string name = v1::LossKind_Name(kind);
  return absl::AsciiStrToLower(absl::StripPrefix(name, "LOSS_KIND_"));
}

}  // namespace

absl::Status CheckParameters(const v1::LossSpec& spec) {
  const v1::LossKind kind = spec.kind() == v1::LOSS_KIND_UNSPECIFIED
                                ? v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY
                                : spec.kind();
  // The server may know a number that this build does not.
  if (!v1::LossKind_IsValid(kind)) return absl::OkStatus();
  constexpr v1::LossKind kFocal = v1::LOSS_KIND_SIGMOID_FOCAL;
  constexpr v1::LossKind kAsymmetric = v1::LOSS_KIND_ASYMMETRIC;
  const Parameter parameters[] = {
      {"focal_gamma", kFocal, spec.focal_gamma() != 0},
      {"focal_alpha", kFocal, spec.has_focal_alpha()},
      {"asymmetric_gamma_positive", kAsymmetric,
       spec.asymmetric_gamma_positive() != 0},
      {"asymmetric_gamma_negative", kAsymmetric,
       spec.asymmetric_gamma_negative() != 0},
      {"asymmetric_margin", kAsymmetric, spec.asymmetric_margin() != 0},
  };
  for (const Parameter& parameter : parameters) {
    if (!parameter.set || parameter.kind == kind) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        parameter.name, ": is for kind ", NameOf(parameter.kind),
        ", and the kind is ", NameOf(kind), ", which would ignore it"));
  }
  return absl::OkStatus();
}

}  // namespace lossd::client
