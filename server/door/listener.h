// The sockets at which the server listens for gRPC's clients.
#ifndef LOSSD_SERVER_DOOR_LISTENER_H_
#define LOSSD_SERVER_DOOR_LISTENER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_descriptor.h"
#include "server/base/unix_socket.h"
#include "server/door/connections.h"

namespace lossd::door {

// One listening socket, which does not block. Move-only.
struct Listener {
  Transport transport = Transport::kTcp;
  FileDescriptor socket;                     // of TCP, or handed over
  std::unique_ptr<ListeningSocket> at_path;  // or null

  int number() const {
    return at_path != nullptr ? at_path->number() : socket.number();
  }
};

struct Listeners {
  std::vector<Listener> all;
  std::string address;  // HOST:PORT of the first of TCP, as bound
  // Whether other machines can reach one of TCP.
  bool beyond_loopback = false;
};

struct ListenOptions {
  std::string address;    // HOST:PORT
  std::string unix_path;  // or empty
};

// Listens at the address and the path. A socket in `handed_over` stands in for
// the address if it is one of TCP, or for the path if it is a Unix socket.
// Errors: UNAVAILABLE or INVALID_ARGUMENT in one line that begins with the
// flag's name.
absl::StatusOr<Listeners> OpenListeners(
    const ListenOptions& options, std::vector<FileDescriptor> handed_over);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_LISTENER_H_
