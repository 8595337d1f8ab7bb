#include "server/observability/exposer.h"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <optional>
#include <utility>

#include "server/base/listen_error.h"
#include "server/observability/status_page.h"

namespace lossd::observability {
namespace {

constexpr unsigned kServiceUnavailable = 503;

HttpAnswer MetricsPage(const Metrics& metrics) {
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = prometheus::TextSerializer().Serialize(
              metrics.collectable()->Collect())};
}

HttpAnswer HealthPage(bool serving) {
  if (serving) return {.body = "serving\n"};
  return {.status = kServiceUnavailable, .body = "not serving\n"};
}

HttpPages PagesOf(ExposedServer server) {
  HttpPages pages = {
      {"/metrics",
       [metrics = server.metrics] { return MetricsPage(*metrics); }},
      {"/healthz",
       [is_serving = server.is_serving] { return HealthPage(is_serving()); }},
      {"/", [server = std::move(server)] {
         return HttpAnswer{
             .content_type = "text/html; charset=utf-8",
             .body = StatusPage(server.is_serving(), server.facts())};
       }}};
  AddPageFiles(pages);
  return pages;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Listen(
    const std::string& address) {
  std::optional<Address> parsed = ParseAddress(address);
  if (!parsed.has_value()) {
    return CannotListen(address,
                        "not HOST:PORT, such as 127.0.0.1:9464 or [::1]:0");
  }
  absl::StatusOr<TcpSockets> sockets = ListenTcp(*parsed);
  if (!sockets.ok()) return sockets.status();
  parsed->port = sockets->port;
  return std::unique_ptr<Exposer>(
      new Exposer(*std::move(parsed), *std::move(sockets)));
}

Exposer::Exposer(Address address, TcpSockets sockets)
    : address_(std::move(address)), sockets_(std::move(sockets)) {}

absl::Status Exposer::Serve(ExposedServer server) {
  auto started = HttpServer::Start(std::move(sockets_.sockets),
                                   PagesOf(std::move(server)));
  if (!started.ok()) return started.status();
  server_ = *std::move(started);
  return absl::OkStatus();
}

}  // namespace lossd::observability
