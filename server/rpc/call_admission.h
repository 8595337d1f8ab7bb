// What every call does at its door, and says when its client is gone.
#ifndef LOSSD_SERVER_RPC_CALL_ADMISSION_H_
#define LOSSD_SERVER_RPC_CALL_ADMISSION_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/rpc/call_context.h"

namespace lossd::rpc {

// The client's, or the infinite future.
absl::Time DeadlineOf(const grpc::ServerContext& context);

// A connection is known by its peer's address and port; gRPC has no cheaper
// name for it. All connections of a Unix socket have the same one.
uint64_t FlowOf(const grpc::ServerContext& context);

// Asks for a permit. What is not OK is the call's answer; of a full budget it
// says when to come again, also in the trailers of `context`.
grpc::Status Admit(const CallContext& call_context, int64_t bytes,
                   uint64_t flow, absl::Time deadline, absl::Time received,
                   grpc::ServerContext* context, admission::Permit* permit);

// Has a permit stand for more bytes. What is not OK is the call's answer, as
// above.
grpc::Status ChargeMore(const CallContext& call_context, int64_t bytes,
                        uint64_t flow, grpc::ServerContext* context,
                        admission::Permit* permit);

// The RPC is over for the client, and not by our reply.
absl::Status GoneStatus(absl::Time deadline, absl::Time now);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_CALL_ADMISSION_H_
