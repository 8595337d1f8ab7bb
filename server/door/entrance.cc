#include "server/door/entrance.h"

#include <grpcpp/server_posix.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"
#include "server/door/descriptor_limit.h"
#include "server/observability/log.h"

namespace lossd::door {

absl::StatusOr<std::unique_ptr<Entrance>> Entrance::Open(
    const EntranceOptions& options, std::vector<FileDescriptor> handed_over,
    Connections* connections) {
  absl::StatusOr<Listeners> listeners =
      OpenListeners(options.listen, std::move(handed_over));
  if (!listeners.ok()) return listeners.status();
  std::unique_ptr<Entrance> made(new Entrance);
  made->address_ = listeners->address;
  made->beyond_loopback_ = listeners->beyond_loopback;
  made->max_connections_ = options.max_connections > 0
                               ? options.max_connections
                               : DefaultMaxConnections();
  absl::StatusOr<std::unique_ptr<Acceptor>> acceptor = Acceptor::Create(
      std::move(listeners->all), made->max_connections_, connections);
  if (!acceptor.ok()) return acceptor.status();
  made->acceptor_ = *std::move(acceptor);
  return made;
}

void Entrance::AddTo(
    grpc::ServerBuilder* builder,
    const std::shared_ptr<grpc::ServerCredentials>& credentials,
    bool encrypted) {
  encrypted_ = encrypted;
  grpc_ = builder->experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      credentials);
}

void Entrance::WarnOfPlaintext(bool tokens) const {
  if (encrypted_ || !beyond_loopback_) return;
  observability::LogWarning(
      absl::StrCat(
          "other machines can reach this server, and calls are not encrypted",
          tokens ? ", so tokens can be read on the way" : "",
          ": set --tls_cert and --tls_key, or --listen=127.0.0.1:PORT"),
      {{"listen", address_}});
}

void Entrance::Start(grpc::Server* server) {
  acceptor_->Start([this, server](int socket, Transport transport) {
    HandOver(server, socket, transport);
  });
}

void Entrance::HandOver(grpc::Server* server, int socket, Transport transport) {
  // Through this way gRPC names the connection by its descriptor, so that a
  // call can be traced to its client's process; the other way, all connections
  // of a Unix socket have one name. It knows no TLS.
  if (transport == Transport::kUnix && !encrypted_) {
    grpc::AddInsecureChannelFromFd(server, socket);
    return;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters
      connection;
  connection.listener_fd = -1;
  connection.fd = socket;
  grpc_->HandleNewConnection(&connection);
}

}  // namespace lossd::door
