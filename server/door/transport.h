// How gRPC carries messages for this server, decided in one place.
#ifndef LOSSD_SERVER_DOOR_TRANSPORT_H_
#define LOSSD_SERVER_DOOR_TRANSPORT_H_

#include <cstdint>

namespace grpc {
class ServerBuilder;
}  // namespace grpc

namespace lossd::door {

struct TransportOptions {
  // A larger message is RESOURCE_EXHAUSTED; below 2^31.
  int64_t max_message_bytes = 0;
  // What admission allows. gRPC may hold as much again of messages that it is
  // still reading, and some more; beyond that it ends calls of its choice, as
  // RESOURCE_EXHAUSTED.
  int64_t max_inflight_bytes = 0;
  // Whether gRPC counts what grpc.channelz tells.
  bool channelz = false;
};

// What a client may have gRPC do before a request reaches admission, and what
// gRPC does for each message beside carrying it. For servers on any listener.
void SetUpTransport(const TransportOptions& options,
                    grpc::ServerBuilder* builder);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_TRANSPORT_H_
