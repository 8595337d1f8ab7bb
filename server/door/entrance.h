// Where connections come in: listeners, the acceptor, and the way into gRPC.
#ifndef LOSSD_SERVER_DOOR_ENTRANCE_H_
#define LOSSD_SERVER_DOOR_ENTRANCE_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_descriptor.h"
#include "server/door/acceptor.h"
#include "server/door/connections.h"
#include "server/door/listener.h"

namespace lossd::door {

struct EntranceOptions {
  ListenOptions listen;
  // Most connections that are open at once; 0 for DefaultMaxConnections().
  int64_t max_connections = 0;
};

// Gives gRPC the connections that it serves. The order of calls is Open(),
// AddTo(), Start(), StopAccepting(), Connections::EndAll(), and then
// grpc::Server's Shutdown(). Not thread-safe.
class Entrance {
 public:
  // Listens, and accepts nothing yet. Borrows `connections`. Errors:
  // OpenListeners()'s.
  static absl::StatusOr<std::unique_ptr<Entrance>> Open(
      const EntranceOptions& options, std::vector<FileDescriptor> handed_over,
      Connections* connections);

  // Lets the server that is being built take connections. `encrypted` says
  // whether the credentials are those of TLS.
  void AddTo(grpc::ServerBuilder* builder,
             const std::shared_ptr<grpc::ServerCredentials>& credentials,
             bool encrypted);

  // Starts to accept. Borrows `server`, which runs.
  void Start(grpc::Server* server);

  // Closes the listeners, after which clients look for another server and a
  // successor can listen there.
  void StopAccepting() { acceptor_.reset(); }

  // Returns HOST:PORT as bound.
  const std::string& address() const { return address_; }
  // Says in the log, after AddTo(), if other machines can reach the server and
  // nothing is encrypted. `tokens` says whether clients send such.
  void WarnOfPlaintext(bool tokens) const;

  int64_t max_connections() const { return max_connections_; }

 private:
  Entrance() = default;
  void HandOver(grpc::Server* server, int socket, Transport transport);

  std::string address_;
  bool beyond_loopback_ = false;
  int64_t max_connections_ = 0;
  bool encrypted_ = false;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc_;
  std::unique_ptr<Acceptor> acceptor_;  // uses all of the above
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_ENTRANCE_H_
