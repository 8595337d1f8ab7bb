#ifndef LOSSD_CLIENT_CPP_CALL_STATUS_H_
#define LOSSD_CLIENT_CPP_CALL_STATUS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/status.h"

namespace lossd::client {

// A call's status in the language of this library: the same code and message,
// with the server's retry delay attached where it gave one. `context` is the
// finished call's.
absl::Status CallStatus(const grpc::Status& status,
                        const grpc::ClientContext& context);

// When the server asks to be tried again; absent if it gave no time.
std::optional<absl::Duration> RetryAfter(const absl::Status& status);

// The delay in a serialized google.rpc.Status that carries a
// google.rpc.RetryInfo (the content of grpc-status-details-bin).
std::optional<absl::Duration> RetryDelayOfDetails(const std::string& details);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CALL_STATUS_H_
