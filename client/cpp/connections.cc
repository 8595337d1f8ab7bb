#include "client/cpp/connections.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"

namespace lossd::client {
namespace {

// What can be wrong with the options, each with its field's name.
absl::Status Check(const ClientOptions& options) {
  if (options.target.empty()) {
    return absl::InvalidArgumentError("target: empty");
  }
  if (options.channels < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("channels: ", options.channels, ", must be at least 1"));
  }
  if (options.tls.has_value() && options.tls->certificate_chain.empty() !=
                                     options.tls->private_key.empty()) {
    return absl::InvalidArgumentError(
        "tls: a certificate needs its key, and a key its certificate");
  }
  return absl::OkStatus();
}

// The token is not part of these: gRPC refuses call credentials over plaintext,
// which a trusted network may use, so calls carry it as metadata.
std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(
    const std::optional<TlsOptions>& tls) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials(
      {tls->root_certificates, tls->private_key, tls->certificate_chain});
}

// The same for every channel of a client.
grpc::ChannelArguments ArgumentsFor(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetUserAgentPrefix(options.user_agent);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Or all channels with these arguments would share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(
      GRPC_ARG_KEEPALIVE_TIME_MS,
      static_cast<int>(absl::ToInt64Milliseconds(options.keepalive)));
  return arguments;
}

}  // namespace

absl::StatusOr<Connections> Connections::Open(const ClientOptions& options) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  Connections connections;
  for (int i = 0; i < options.channels; ++i) {
    connections.channels_.push_back(grpc::CreateCustomChannel(
        options.target, CredentialsFor(options.tls), ArgumentsFor(options)));
  }
  return connections;
}

}  // namespace lossd::client
