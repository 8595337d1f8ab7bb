// Decides how gRPC carries messages for this server (D22, D23).
#ifndef LOSSD_SERVER_DOOR_TRANSPORT_H_
#define LOSSD_SERVER_DOOR_TRANSPORT_H_

#include <cstdint>

#include "absl/time/time.h"

namespace grpc {
class ServerBuilder;
}  // namespace grpc

namespace lossd::door {

struct TransportOptions {
  // A call with a larger message is RESOURCE_EXHAUSTED. Less than 2^31.
  int64_t max_message_bytes = 0;
  // The memory that gRPC may hold. Near it gRPC takes smaller pieces; beyond it
  // it ends calls with RESOURCE_EXHAUSTED, and connections ("Buffers full",
  // which their calls see as UNAVAILABLE), both of its choice.
  int64_t memory_bytes = 0;
  // Whether gRPC keeps the counts that the channelz service returns.
  bool channelz = false;
  // The least time between pings of a client that sends nothing else, with
  // calls in progress or without. gRPC closes a connection whose client pings
  // more often three times.
  absl::Duration keepalive_min_interval;
  // How long a new connection of TCP may take until gRPC has read its settings,
  // and with TLS its handshake; then gRPC closes it.
  absl::Duration handshake_timeout;
};

// Limits the memory and the threads that a client may make gRPC use before a
// request reaches admission, and turns off work that gRPC does for each message
// and lossd does not need. Holds for all listeners of the server.
void SetUpTransport(const TransportOptions& options,
                    grpc::ServerBuilder* builder);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_TRANSPORT_H_
