#include "server/observability/exposer.h"

#include <prometheus/exposer.h>

#include <exception>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lossd::observability {
namespace {

// The HTTP server below takes a list of ports with option letters; we take one
// address, so what is not plainly HOST:PORT must not reach it.
bool Split(const std::string& address, std::string* host, int* port) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  *host = address.substr(0, colon);
  const std::string digits = address.substr(colon + 1);
  const bool bracketed = host->front() == '[' && host->back() == ']';
  if (!bracketed && host->find(':') != std::string::npos) return false;
  if (host->find_first_of(", \t") != std::string::npos) return false;
  return digits.find_first_not_of("0123456789") == std::string::npos &&
         absl::SimpleAtoi(digits, port) && *port <= 65535;
}

class HttpExposer final : public Exposer {
 public:
  HttpExposer(std::unique_ptr<prometheus::Exposer> server, std::string address)
      : server_(std::move(server)), address_(std::move(address)) {}

  std::string address() const override { return address_; }

 private:
  const std::unique_ptr<prometheus::Exposer> server_;
  const std::string address_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Exposer>> Exposer::Start(
    const std::string& address, const Metrics& metrics) {
  std::string host;
  int port = 0;
  if (!Split(address, &host, &port)) {
    return absl::UnavailableError(
        absl::StrCat("metrics address '", address,
                     "' is not HOST:PORT, such as 127.0.0.1:9464 or [::1]:0"));
  }
  // The library below throws; nothing above it does.
  try {
    const std::vector<std::string> options = {"listening_ports", address,
                                              "num_threads", "2"};
    auto server = std::make_unique<prometheus::Exposer>(options);
    server->RegisterCollectable(metrics.collectable());
    const std::vector<int> ports = server->GetListeningPorts();
    if (ports.empty()) {
      return absl::UnavailableError(
          absl::StrCat("metrics address ", address, " cannot be bound"));
    }
    return std::make_unique<HttpExposer>(
        std::move(server), absl::StrCat(host, ":", ports.front()));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(
        "metrics address ", address, " cannot be bound; is the port in use? (",
        error.what(), ")"));
  }
}

}  // namespace lossd::observability
