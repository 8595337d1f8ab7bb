// The flags that choose a loss.
#ifndef LOSSD_CLIENT_CLI_SPEC_FLAGS_H_
#define LOSSD_CLIENT_CLI_SPEC_FLAGS_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/flag_table.h"
#include "lossd/v1/loss_spec.pb.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd::cli {

// A flag for each field of a LossSpec; an empty or absent one leaves the field
// unset.
struct SpecFlags {
  std::string kind;
  std::string reduction;
  std::string normalizer;
  double normalizer_value = 0;
  std::optional<double> loss_weight;
  std::optional<double> ignore_target;
  double label_smoothing = 0;
  std::optional<double> label_smoothing_prior;
  std::optional<double> focal_gamma;
  std::optional<double> focal_alpha;
  std::optional<double> asymmetric_gamma_positive;
  std::optional<double> asymmetric_gamma_negative;
  std::optional<double> asymmetric_margin;
  std::optional<double> poly_epsilon;
  std::string soft_targets;
  bool detach_focus = false;
  bool gradient = true;
  bool second_derivative = false;
  std::string gradient_dtype;
  std::string losses_dtype;
  std::string nan_policy;
  std::string target_range;
  std::string target_shape_rule;
};

// Returns the rows of `flags`, which are borrowed.
FlagGroup SpecRows(SpecFlags& flags);

// Returns the loss that the flags describe. INVALID_ARGUMENT, beginning with
// the flag, for an unknown name (the known ones are listed), for an option that
// the chosen kind, reduction or normalizer does not read, and for a kind none
// of whose own parameters is given.
absl::StatusOr<v1::LossSpec> MakeSpec(const SpecFlags& flags);

// Returns the type named float32, float64, bfloat16, float16, float8_e4m3fn or
// float8_e5m2.
// INVALID_ARGUMENT, beginning with the flag, for any other name.
absl::StatusOr<v1::DataType> FloatTypeNamed(absl::string_view flag_name,
                                            absl::string_view name);

// Returns the value of a flag for such a name, which FloatTypeNamed() checks.
FlagValue FloatTypeValue(std::string* name);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_SPEC_FLAGS_H_
