// Serves the metrics over HTTP, with a health check and a status page.
#ifndef LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_
#define LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/address.h"
#include "server/base/tcp_socket.h"
#include "server/observability/http_server.h"
#include "server/observability/log_line.h"
#include "server/observability/metrics.h"

namespace lossd::observability {

// The parts of a server that the pages show. They are read when a page is asked
// for, and stay valid as long as the exposer.
struct ExposedServer {
  const Metrics* metrics;
  std::function<bool()> is_serving;
  std::function<LogFields()> facts;
  // Says whether a client with this header Authorization may see metrics and
  // facts: OK, UNAUTHENTICATED or PERMISSION_DENIED. Null lets everyone see
  // them. Everyone sees the health.
  std::function<absl::Status(std::optional<absl::string_view>)> check_reader;
};

// Answers at the metrics address until destroyed:
//   /metrics  the metrics, in Prometheus' text format 0.0.4
//   /healthz  200 while the server is serving, else 503
//   /         a status page for people, which loads /page/NAME
// The first and the last are 401 or 403 for a client that may not see them.
// Not thread-safe.
class Exposer {
 public:
  // Listens at HOST:PORT; for port 0 the kernel chooses a port. An IPv6 host
  // stands in brackets. Connections wait until Serve(). Errors: UNAVAILABLE
  // with the address and the reason if it cannot be bound.
  static absl::StatusOr<std::unique_ptr<Exposer>> Listen(
      const std::string& address);

  // Begins to answer; call it once. Errors: those of HttpServer::Start().
  absl::Status Serve(const ExposedServer& server);

  // Returns HOST:PORT with the port that was bound.
  std::string address() const { return address_.text(); }

 private:
  Exposer(Address address, TcpSockets sockets);

  const Address address_;
  TcpSockets sockets_;  // empty after Serve()
  std::unique_ptr<HttpServer> server_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_
