// Translates absl::Status to grpc::Status, here and nowhere else (D3).
#ifndef LOSSD_SERVER_DOOR_STATUS_H_
#define LOSSD_SERVER_DOOR_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lossd::door {

// Returns the same code and message. A message of more than 2 KiB is cut,
// because trailers are bounded. UNKNOWN and other codes that the contract does
// not have become INTERNAL. An INTERNAL error is a defect of ours, so its
// message is logged with the request_id, which may be empty. Thread-safe.
grpc::Status ToGrpcStatus(const absl::Status& status,
                          absl::string_view request_id);

// Returns the translated status with the time after which the client should try
// again: as google.rpc.RetryInfo in the status details, and as
// grpc-retry-pushback-ms in the trailers of `context`, which gRPC's own retries
// obey.
grpc::Status ToOverloadStatus(const absl::Status& status,
                              absl::Duration retry_after,
                              grpc::ServerContext* context);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_STATUS_H_
