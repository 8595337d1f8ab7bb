// gRPC's own log, which a client could fill with garbage.
#ifndef LOSSD_SERVER_DOOR_GRPC_LOG_H_
#define LOSSD_SERVER_DOOR_GRPC_LOG_H_

#include <cstdint>

namespace lossd::door {

// Makes gRPC's errors lines of our log, at level debug but for its failed
// assertions, and counts the failed handshakes among them. Call it once, before
// gRPC is used.
void JoinGrpcLog();

// Returns how many TLS handshakes have failed in this process: clients that
// speak plaintext or another version, or whose certificate is not accepted.
// gRPC says so in its log alone, without the client's address. A client that
// hangs up in the middle of its handshake is not among them. Thread-safe.
int64_t FailedHandshakes();

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_GRPC_LOG_H_
