#include "client/cpp/connections.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/address.h"
#include "base/pem.h"

namespace lossd::client {
namespace {

absl::Status Wrong(absl::string_view field, const absl::Status& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("tls.", field, ": ", why.message()));
}

// Checks the texts here, because gRPC accepts any text and then finds no
// server.
absl::Status CheckTls(const TlsOptions& tls) {
  if (tls.certificate_chain.empty() != tls.private_key.empty()) {
    return absl::InvalidArgumentError(
        "tls: a certificate needs its key, and a key its certificate");
  }
  if (!tls.root_certificates.empty()) {
    const absl::Status roots = pem::CheckCertificates(tls.root_certificates);
    if (!roots.ok()) return Wrong("root_certificates", roots);
  }
  if (tls.private_key.empty()) return absl::OkStatus();
  absl::Status chain = pem::CheckCertificates(tls.certificate_chain);
  if (!chain.ok()) return Wrong("certificate_chain", chain);
  const absl::Status key = pem::CheckKey(tls.private_key);
  if (!key.ok()) return Wrong("private_key", key);
  chain = pem::CheckPair(tls.certificate_chain, tls.private_key);
  return chain.ok() ? chain : Wrong("private_key", chain);
}

// Checks that the token is printable ASCII, because gRPC ends the process over
// a header with any other byte. The token is a secret and stays out of the
// message.
absl::Status CheckToken(absl::string_view token) {
  for (size_t i = 0; i < token.size(); ++i) {
    if (absl::ascii_isprint(static_cast<unsigned char>(token[i]))) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "token: byte ", i, " is 0x",
        absl::Hex(static_cast<unsigned char>(token[i]), absl::kZeroPad2),
        ", and a token is one line of printable ASCII"));
  }
  return absl::OkStatus();
}

// Checks the options; the message begins with the field.
// gRPC takes 443 for a missing port, and a URL for a host name.
absl::Status CheckTarget(absl::string_view target) {
  constexpr absl::string_view kSchemes[] = {
      "unix:", "unix-abstract:", "dns:", "ipv4:", "ipv6:", "xds:", "vsock:"};
  for (const absl::string_view scheme : kSchemes) {
    if (absl::StartsWith(target, scheme)) return absl::OkStatus();
  }
  if (ParseAddress(target).has_value()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "target: \"", target, "\" must be HOST:PORT, [IPv6]:PORT or unix:/path"));
}

absl::Status Check(const ClientOptions& options) {
  if (options.target.empty()) {
    return absl::InvalidArgumentError("target: must not be empty");
  }
  if (absl::Status s = CheckTarget(options.target); !s.ok()) return s;
  if (options.channels < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("channels: ", options.channels, ", must be at least 1"));
  }
  if (options.keepalive < absl::Milliseconds(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("keepalive: ", absl::FormatDuration(options.keepalive),
                     ", must be at least 1ms"));
  }
  if (absl::Status s = CheckToken(options.token); !s.ok()) return s;
  return options.tls.has_value() ? CheckTls(*options.tls) : absl::OkStatus();
}

// Returns credentials without the token. Calls carry that as metadata, because
// gRPC refuses call credentials over plaintext, which a trusted network may
// use.
std::shared_ptr<grpc::ChannelCredentials> CredentialsFor(
    const std::optional<TlsOptions>& tls) {
  if (!tls.has_value()) return grpc::InsecureChannelCredentials();
  return grpc::SslCredentials(
      {tls->root_certificates, tls->private_key, tls->certificate_chain});
}

// Returns the arguments that every channel of a client has.
grpc::ChannelArguments ArgumentsFor(const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetUserAgentPrefix(options.user_agent);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // gRPC would ask the proxy of http_proxy even for this host.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Without this, all channels with these arguments would share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // gRPC counts milliseconds in an int, and takes the largest as never.
  constexpr int64_t never = std::numeric_limits<int>::max();
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   static_cast<int>(std::min(
                       absl::ToInt64Milliseconds(options.keepalive), never)));
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
