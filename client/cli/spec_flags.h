#ifndef LOSSD_CLIENT_CLI_SPEC_FLAGS_H_
#define LOSSD_CLIENT_CLI_SPEC_FLAGS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "lossd/v1/loss_spec.pb.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd::cli {

// The loss that the flags describe; flags that are not set leave their field
// unset. An unknown name is an error that lists the known ones; so is a
// parameter that the kind of loss has not.
absl::StatusOr<v1::LossSpec> SpecFromFlags();

// float32, float64, bfloat16 or float16, by its name; the error begins with the
// flag's.
absl::StatusOr<v1::DataType> FloatTypeNamed(absl::string_view flag_name,
                                            absl::string_view name);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_SPEC_FLAGS_H_
