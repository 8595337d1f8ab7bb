// The connections of a client to its server.
#ifndef LOSSD_CLIENT_CPP_CONNECTIONS_H_
#define LOSSD_CLIENT_CPP_CONNECTIONS_H_

#include <grpcpp/channel.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lossd::client {

struct TlsOptions {
  // PEM; empty trusts the system's roots.
  std::string root_certificates = {};
  // PEM; both or none. The client's own certificate, for servers that want one.
  std::string certificate_chain = {};
  std::string private_key = {};
};

struct ClientOptions {
  // HOST:PORT, or unix:/path.
  std::string target = "localhost:50051";
  // The number of connections, on which calls take turns. One connection
  // carries as many bytes as one core can.
  int channels = 1;
  // Absent means plaintext.
  std::optional<TlsOptions> tls = {};
  // Sent as `authorization: Bearer TOKEN` if not empty. Printable ASCII.
  std::string token = {};
  // The beginning of the user agent.
  std::string user_agent = "lossd-cpp";
  // A blocking ComputeLoss() whose tensors are larger goes through StreamLoss.
  // The default is below the server's message limit, where a stream is as fast.
  // A gradient whose normalizer is known only at the stream's end is scaled by
  // the client, which rounds it once more.
  int64_t stream_above_bytes = int64_t{64} << 20;
  // A connection with calls on it that is silent for this long is probed, and
  // closed if no answer comes in 20 s. Until then, a peer that stops reading in
  // mid-message holds back all calls of its connection, even those past their
  // deadline. Values far below a minute make servers close the connection (too
  // many pings). At least 1 ms; more than 24 days is never.
  absl::Duration keepalive = absl::Minutes(1);
};

// Channels to one server, with one TCP connection each. Messages have no size
// limit on this side. gRPC's own retries are off, because its retry layer would
// keep references to the tensors; the caller retries, after the server's delay.
// Thread-safe.
class Connections {
 public:
  // Returns channels that connect when first used. INVALID_ARGUMENT for options
  // that make no sense.
  static absl::StatusOr<Connections> Open(const ClientOptions& options);

  Connections(Connections&& other) noexcept
      : channels_(std::move(other.channels_)) {}

  // Returns the next channel in turn.
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
