// TCP sockets that listen.
#ifndef LOSSD_SERVER_BASE_TCP_SOCKET_H_
#define LOSSD_SERVER_BASE_TCP_SOCKET_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "base/file_descriptor.h"

namespace lossd {

struct TcpSockets {
  std::vector<FileDescriptor> sockets;  // at least one
  int port = 0;                         // the same for all of them
};

// Listens at every address that the host resolves to, as gRPC does: 0.0.0.0 and
// [::] both mean all of IPv4 and IPv6, and an address that cannot be bound
// beside one that can is left out. Two servers never share a port. Errors:
// UNAVAILABLE, naming the address and why.
absl::StatusOr<TcpSockets> ListenTcp(const Address& address);

// Returns whether the socket is one of IPv4 or IPv6.
bool IsTcp(int socket);

// Returns whether only this machine can reach a bound socket of IPv4 or IPv6.
bool IsLoopback(int socket);

// Returns HOST:PORT of a bound socket of IPv4 or IPv6, an IPv6 host in
// brackets.
std::string BoundAddress(int socket);

// Sends small messages at once. Accepted sockets inherit this from their
// listener.
void SetNoDelay(int socket);

}  // namespace lossd

#endif  // LOSSD_SERVER_BASE_TCP_SOCKET_H_
