// Serves the metrics over HTTP.
#ifndef LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_
#define LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/observability/metrics.h"

namespace lossd::observability {

// Answers GET /metrics until destroyed, which takes a few milliseconds unless a
// connection sends nothing, and then at most about a second. Thread-safe.
class Exposer {
 public:
  // `address` is HOST:PORT; for port 0 the kernel chooses a port. An IPv6 host
  // stands in brackets; the HTTP server in Debian 12's prometheus-cpp cannot
  // bind it. Errors: UNAVAILABLE if the address cannot be bound, with the
  // address and the reason in the message.
  static absl::StatusOr<std::unique_ptr<Exposer>> Start(
      const std::string& address, const Metrics& metrics);
  virtual ~Exposer() = default;
  // Returns HOST:PORT with the port that was bound.
  virtual std::string address() const = 0;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_
