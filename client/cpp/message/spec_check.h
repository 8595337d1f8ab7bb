// Checks of a loss that only the client makes.
#ifndef LOSSD_CLIENT_CPP_MESSAGE_SPEC_CHECK_H_
#define LOSSD_CLIENT_CPP_MESSAGE_SPEC_CHECK_H_

#include "absl/status/status.h"
#include "lossd/v1/loss_spec.pb.h"

namespace lossd::client {

// Returns INVALID_ARGUMENT, beginning with the field's name, for an option that
// is set (not 0, or present) although the chosen kind, reduction or normalizer
// does not read it. The server refuses such an option too, but an older one
// ignored it. The server makes all other checks.
absl::Status CheckParameters(const v1::LossSpec& spec);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_MESSAGE_SPEC_CHECK_H_
