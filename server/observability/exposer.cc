#include "server/observability/exposer.h"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/listen_error.h"
#include "server/observability/status_page.h"

namespace lossd::observability {
namespace {

constexpr unsigned kUnauthorized = 401;
constexpr unsigned kForbidden = 403;
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

HttpAnswer RefusalOf(const absl::Status& why) {
  return {.status = absl::IsUnauthenticated(why) ? kUnauthorized : kForbidden,
          .body = absl::StrCat(why.message(), "\n")};
}

// Returns the page as those see it whom `server` lets see it.
HttpPage Guarded(const ExposedServer& server, HttpPage page) {
  if (server.check_reader == nullptr) return page;
  return [check = server.check_reader,
          page = std::move(page)](const HttpRequest& request) {
    std::optional<absl::string_view> authorization;
    if (request.authorization.has_value()) {
      authorization.emplace(request.authorization->data(),
                            request.authorization->size());
    }
    const absl::Status allowed = check(authorization);
    return allowed.ok() ? page(request) : RefusalOf(allowed);
  };
}

HttpPages PagesOf(const ExposedServer& server) {
  HttpPages pages = {
      {"/metrics", Guarded(server,
                           [metrics = server.metrics](const HttpRequest&) {
                             return MetricsPage(*metrics);
                           })},
      {"/healthz",
       [is_serving = server.is_serving](const HttpRequest&) {
         return HealthPage(is_serving());
       }},
      {"/", Guarded(server, [server](const HttpRequest&) {
         return HttpAnswer{
             .content_type = "text/html; charset=utf-8",
             .body = StatusPage(server.is_serving(), server.facts())};
       })}};
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

absl::Status Exposer::Serve(const ExposedServer& server) {
  auto started =
      HttpServer::Start(std::move(sockets_.sockets), PagesOf(server));
  if (!started.ok()) return started.status();
  server_ = *std::move(started);
  return absl::OkStatus();
}

}  // namespace lossd::observability
