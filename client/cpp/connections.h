#ifndef LOSSD_CLIENT_CPP_CONNECTIONS_H_
#define LOSSD_CLIENT_CPP_CONNECTIONS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "grpcpp/channel.h"

namespace lossd::client {

struct TlsOptions {
  // PEM. Empty: the system's roots.
  std::string root_certificates = {};
  // PEM; both or none. The client's own, for servers that want one.
  std::string certificate_chain = {};
  std::string private_key = {};
};

struct ClientOptions {
  // host:port, or unix:/path.
  std::string target = "localhost:50051";
  // Connections, each of its own; calls take turns. One connection carries
  // about one core's worth of bytes.
  int channels = 1;
  // Absent: plaintext.
  std::optional<TlsOptions> tls = {};
  // Sent as `authorization: Bearer TOKEN`; empty: none. Printable ASCII.
  std::string token = {};
  // Comes first in the user agent.
  std::string user_agent = "lossd-cpp";
  // A blocking ComputeLoss whose tensors are larger goes through StreamLoss:
  // below the server's message limit, and where a stream is as fast. A gradient
  // whose normalizer is a count that no one knows beforehand is then scaled
  // here, which rounds once more.
  int64_t stream_above_bytes = int64_t{64} << 20;
  // A connection with calls on it, silent for that long, is probed, and closed
  // if no answer comes in 20 s. A peer that stops reading in mid-message holds
  // back all calls of its connection, even those past their deadline, until
  // then. Far below a minute servers take probes for abuse. At least 1 ms; more
  // than 24 days is never.
  absl::Duration keepalive = absl::Minutes(1);
};

// Channels to one server, with one TCP connection each. Messages have no size
// limit on this side; gRPC's own retries are off: a retry is the caller's to
// make, with the server's delay, and the retry layer would keep references to
// the tensors. Thread-safe.
class Connections {
 public:
  // INVALID_ARGUMENT for options that make no sense; does not connect yet.
  static absl::StatusOr<Connections> Open(const ClientOptions& options);

  Connections(Connections&& other) noexcept
      : channels_(std::move(other.channels_)) {}

  // The next channel in turn.
  const std::shared_ptr<grpc::Channel>& Take() {
    return channels_[next_.fetch_add(1, std::memory_order_relaxed) %
                     channels_.size()];
  }

 private:
  Connections() = default;

  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::atomic<size_t> next_ = 0;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CONNECTIONS_H_
