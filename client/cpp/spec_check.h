#ifndef LOSSD_CLIENT_CPP_SPEC_CHECK_H_
#define LOSSD_CLIENT_CPP_SPEC_CHECK_H_

#include "absl/status/status.h"
#include "lossd/v1/loss_spec.pb.h"

namespace lossd::client {

// INVALID_ARGUMENT, beginning with the field's name, for a parameter that is
// set (not 0, or present) although the loss of `spec.kind` has none of that
// name. The server does not read it, so that the answer would be that of
// another loss than its caller believes. What the server checks is not checked
// here.
absl::Status CheckParameters(const v1::LossSpec& spec);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SPEC_CHECK_H_
