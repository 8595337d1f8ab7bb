// The /metrics endpoint.
#ifndef LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_
#define LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/observability/metrics.h"

namespace lossd::observability {

// Serves metrics over HTTP until destroyed.
class Exposer {
 public:
  // `address` is HOST:PORT; port 0: the kernel chooses. A port in use or an
  // address that cannot be bound is UNAVAILABLE, and the message names it. An
  // IPv6 host stands in brackets; the distribution's HTTP library cannot bind
  // it.
  static absl::StatusOr<std::unique_ptr<Exposer>> Start(
      const std::string& address, const Metrics& metrics);
  virtual ~Exposer() = default;
  // HOST:PORT as bound.
  virtual std::string address() const = 0;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_EXPOSER_H_
