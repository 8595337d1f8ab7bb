// The status of a finished call.
#ifndef LOSSD_CLIENT_CPP_CALL_STATUS_H_
#define LOSSD_CLIENT_CPP_CALL_STATUS_H_

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lossd::client {

// Returns the status of a finished call, with the server's code and message,
// and with its retry delay attached if it gave one. `context` is that of the
// call.
absl::Status CallStatus(const grpc::Status& status,
                        const grpc::ClientContext& context);

// Returns the delay after which the call may be tried again, or nothing if the
// server gave none.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

// Attaches the delay that RetryAfter() returns.
void SetRetryAfter(absl::Duration delay, absl::Status* status);

// Returns the delay in a serialized google.rpc.Status (the content of
// grpc-status-details-bin), or nothing without a google.rpc.RetryInfo in it.
std::optional<absl::Duration> RetryDelayOfDetails(const std::string& details);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CALL_STATUS_H_
