// The page with a server's metrics.
#ifndef LOSSD_CLIENT_CLI_WATCH_METRICS_PAGE_H_
#define LOSSD_CLIENT_CLI_WATCH_METRICS_PAGE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/watch/activity.h"

namespace lossd::cli::watch {

// Reads http://HOST:PORT/metrics again and again, without proxies, redirects
// and TLS. Not thread-safe.
class MetricsPage {
 public:
  // A page beyond this is refused.
  static constexpr size_t kMaxBytes = size_t{16} << 20;

  // Sends `token` as a bearer token unless it is empty. INVALID_ARGUMENT if
  // `address` is not HOST:PORT with a host that a URL may have and a port above
  // 0, or if the token is not one line of printable ASCII.
  static absl::StatusOr<MetricsPage> Create(const std::string& address,
                                            std::string token = "");
  MetricsPage(MetricsPage&&) = default;
  MetricsPage& operator=(MetricsPage&&) = default;

  // Returns the metrics of this moment. Errors:
  //   CANCELLED          `interrupted`, a descriptor, became readable
  //   UNAVAILABLE        no HTTP server answered within `timeout`
  //   FAILED_PRECONDITION  something answered that has no metrics of lossd
  // Messages begin with the page's address.
  absl::StatusOr<Scrape> Read(absl::Duration timeout, int interrupted);

  const std::string& url() const { return url_; }

 private:
  MetricsPage(std::string url, std::string token)
      : url_(std::move(url)), token_(std::move(token)) {}
  // Returns the body of the page.
  absl::StatusOr<std::string> Fetch(absl::Duration timeout, int interrupted);
  // Returns an error with the page's address before `message`.
  absl::Status Complain(absl::StatusCode code, absl::string_view message) const;

  std::string url_;
  std::string token_;
};

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_METRICS_PAGE_H_
