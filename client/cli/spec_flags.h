#ifndef LOSSD_CLIENT_CLI_SPEC_FLAGS_H_
#define LOSSD_CLIENT_CLI_SPEC_FLAGS_H_

#include "absl/status/statusor.h"
#include "lossd/v1/loss_spec.pb.h"

namespace lossd::cli {

// The loss that the flags describe; flags that are not set leave their field
// unset. An unknown name is an error that lists the known ones.
absl::StatusOr<v1::LossSpec> SpecFromFlags();

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_SPEC_FLAGS_H_
