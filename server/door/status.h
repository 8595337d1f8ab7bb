// absl::Status -> grpc::Status: the only translation.
#ifndef LOSSD_SERVER_DOOR_STATUS_H_
#define LOSSD_SERVER_DOOR_STATUS_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lossd::door {

// The same code and message; a long message is cut, because trailers are
// bounded. UNKNOWN and other codes that the contract does not have become
// INTERNAL. What is INTERNAL is a defect of ours: its message goes to the log
// with the request_id.
grpc::Status ToGrpcStatus(const absl::Status& status,  // D3
                          absl::string_view request_id);

// RESOURCE_EXHAUSTED that says when to come again: as google.rpc.RetryInfo in
// the status details, and as grpc-retry-pushback-ms in the trailers, which
// gRPC's own retries obey.
grpc::Status ToOverloadStatus(const absl::Status& status,
                              absl::Duration retry_after,
                              grpc::ServerContext* context);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_STATUS_H_
