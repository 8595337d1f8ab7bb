#include "server/door/client_flow.h"

#include <grpc/grpc_security.h>

#include <optional>
#include <string>

#include "absl/hash/hash.h"

namespace lossd::door {
namespace {

// The name that gRPC gives every client of a Unix socket with TLS.
constexpr char kUnnamed[] = "unix:";

// All calls of an encrypted connection share one authentication context.
uint64_t EncryptedFlow(grpc_call* call) {
  grpc_auth_context* const shared = grpc_call_auth_context(call);
  const uint64_t flow = absl::HashOf(static_cast<const void*>(shared));
  grpc_auth_context_release(shared);
  return flow;
}

}  // namespace

uint64_t FlowOf(const grpc::ServerContext& context,
                const Connections& connections) {
  const std::string peer = context.peer();
  if (const std::optional<uint64_t> flow = connections.FlowOf(peer)) {
    return *flow;
  }
  if (peer == kUnnamed) {
    return EncryptedFlow(const_cast<grpc::ServerContext&>(context).c_call());
  }
  return absl::HashOf(peer);
}

}  // namespace lossd::door
