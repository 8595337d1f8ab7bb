// Tells the clients of calls apart.
#ifndef LOSSD_SERVER_DOOR_CLIENT_FLOW_H_
#define LOSSD_SERVER_DOOR_CLIENT_FLOW_H_

#include <grpcpp/server_context.h>

#include <cstdint>

#include "server/door/connections.h"

namespace lossd::door {

// Returns a number for the flow of a call, between which the server is fair
// (D48): the client's process if it came through a Unix socket, and else its
// connection. With TLS on a Unix socket, each connection is a flow. A name that
// the call carries (flow_name.h) is not looked at. Thread-safe.
uint64_t FlowOf(const grpc::ServerContext& context,
                const Connections& connections);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_CLIENT_FLOW_H_
