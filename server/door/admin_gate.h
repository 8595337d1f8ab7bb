// Asks those for a token who look into the server.
#ifndef LOSSD_SERVER_DOOR_ADMIN_GATE_H_
#define LOSSD_SERVER_DOOR_ADMIN_GATE_H_

#include <grpcpp/server_builder.h>

#include <functional>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/door/authenticator.h"

namespace lossd::door {

// Makes the server that is being built end calls of services that are not ours,
// which are reflection and channelz, before their handlers see a message:
// UNAUTHENTICATED without a known token, PERMISSION_DENIED for one that may not
// use admin. Calls of our own services pass: they check tokens themselves, or,
// as health checks, need none. Borrows `authenticator`, which is not open.
void AddAdminGate(const Authenticator* authenticator,
                  grpc::ServerBuilder* builder);

// Returns a function that says whether a client with this header Authorization
// may use admin. Errors are those of the gate. Borrows `authenticator`.
// Thread-safe.
std::function<absl::Status(std::optional<absl::string_view>)> AdminCheck(
    const Authenticator* authenticator);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_ADMIN_GATE_H_
