// The connections of a client to its server, or to several.
#ifndef LOSSD_CLIENT_CPP_CONNECTIONS_H_
#define LOSSD_CLIENT_CPP_CONNECTIONS_H_

#include <grpcpp/channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cpp/lookups.h"
#include "client/cpp/servers.h"

namespace lossd::client {

struct TlsOptions {
  // PEM; empty trusts the system's roots.
  std::string root_certificates = {};
  // PEM; both or none. The client's own certificate, for servers that want one.
  std::string certificate_chain = {};
  std::string private_key = {};
  // The name in the server's certificate; empty takes the target's host. A list
  // of servers with several hosts needs one, because gRPC checks the
  // certificates of all against one name.
  std::string server_name = {};
};

struct ClientOptions {
  // HOST:PORT, or unix:/path. Several servers are a list with commas,
  // HOST:PORT,HOST:PORT, or dns:///NAME:PORT for all addresses of a name. Calls
  // then take turns among the servers that are healthy, and what one of them
  // leaves unanswered, or refuses for now, is sent again to another one: up to
  // five times before the deadline, within a budget. The names of a list are
  // looked up when the client is made and every 30 s.
  std::string target = "localhost:50051";
  // The number of connections, on which calls take turns. One connection
  // carries as many bytes as one core can.
  int channels = 1;
  // Absent means plaintext.
  std::optional<TlsOptions> tls = {};
  // Sent as `authorization: Bearer TOKEN` if not empty. Printable ASCII.
  std::string token = {};
  // The name of the training job, for the server's metrics (lossd_job_*); empty
  // for none. At most 64 characters, printable ASCII.
  std::string job = {};
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
  // deadline. A server closes a connection whose pings come more often than its
  // --keepalive_min_interval, 5 s by default (too many pings). At least 1 ms;
  // more than 24 days is never.
  absl::Duration keepalive = absl::Minutes(1);
  // Is called with what no call fails of: a name of a list that is not found.
  // It may run on any thread, and after the client is gone. Empty writes to
  // gRPC's log.
  std::function<void(const std::string& warning)> on_warning = {};
};

// Channels to one server, with one TCP connection each, or to several, with one
// to each of them. Messages have no size limit on this side. With one server
// gRPC's own retries are off, because its retry layer would keep references to
// the tensors; the caller retries, after the server's delay. Thread-safe.
class Connections {
 public:
  // Returns channels that connect when first used. INVALID_ARGUMENT for options
  // that make no sense.
  static absl::StatusOr<std::unique_ptr<Connections>> Open(
      const ClientOptions& options);

  // Returns the next channel in turn. One to addresses that the names of a list
  // no longer have lives as long as its calls.
  std::shared_ptr<grpc::Channel> Take();

  // Returns true if there may be several servers.
  bool several() const { return servers_.several; }

 private:
  using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

  Connections(Servers servers, const ClientOptions& options);

  Channels Make(const std::string& target) const;

  const Servers servers_;
  const int count_;
  const grpc::ChannelArguments arguments_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const std::unique_ptr<Lookups> lookups_;  // null without a list
  std::atomic<size_t> next_ = 0;

  absl::Mutex mu_;
  std::string target_ ABSL_GUARDED_BY(mu_);  // of the channels
  Channels channels_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CONNECTIONS_H_
