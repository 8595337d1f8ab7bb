#include "client/cpp/connections.h"

#include <grpcpp/create_channel.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/address.h"
#include "base/pem.h"
#include "client/cpp/retries.h"

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

// Checks what the server would refuse, and what gRPC would end the process
// over.
absl::Status CheckJob(absl::string_view job) {
  constexpr size_t kMostBytes = 64;
  if (job.size() > kMostBytes) {
    return absl::InvalidArgumentError(absl::StrCat("job: has ", job.size(),
                                                   " bytes, and may have ",
                                                   kMostBytes, " at most"));
  }
  const auto bad =
      std::find_if_not(job.begin(), job.end(),
                       [](unsigned char c) { return absl::ascii_isprint(c); });
  if (bad == job.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "job: byte ", bad - job.begin(), " of \"", absl::CHexEscape(job),
      "\" is not a printable character of ASCII"));
}

// Checks what a list of servers cannot have.
absl::Status CheckList(const Servers& servers, const ClientOptions& options) {
  if (!options.tls.has_value() || !options.tls->server_name.empty()) {
    return absl::OkStatus();
  }
  for (const Address& server : servers.listed) {
    if (server.host == servers.listed[0].host) continue;
    return absl::InvalidArgumentError(
        "tls.server_name: must not be empty, because gRPC checks the "
        "certificates of a list's servers against one name");
  }
  return absl::OkStatus();
}

// Checks the options but for the target; the message begins with the field.
absl::Status Check(const ClientOptions& options) {
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
  if (absl::Status s = CheckJob(options.job); !s.ok()) return s;
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

// Adds what a channel to several servers has.
void AddBalancing(const Servers& servers, grpc::ChannelArguments& arguments) {
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 1);
  arguments.SetServiceConfigJSON(kSeveralServers);
  // gRPC keeps a message for another attempt below this limit, by reference.
  arguments.SetInt(GRPC_ARG_PER_RPC_RETRY_BUFFER_SIZE,
                   std::numeric_limits<int>::max());
  // A server should be tried again as soon as it is back, where gRPC's own
  // backoff grows to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 2000);
  if (!servers.listed.empty()) {
    // The servers would be told the whole list as their name.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, servers.listed[0].text());
  }
}

// Returns the arguments that every channel of a client has.
grpc::ChannelArguments ArgumentsFor(const Servers& servers,
                                    const ClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetUserAgentPrefix(options.user_agent);
  // gRPC would ask the proxy of http_proxy even for this host.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Without this, all channels with these arguments would share a connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // gRPC counts milliseconds in an int, and takes the largest as never.
  constexpr int64_t never = std::numeric_limits<int>::max();
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   static_cast<int>(std::min(
                       absl::ToInt64Milliseconds(options.keepalive), never)));
  if (servers.several) {
    AddBalancing(servers, arguments);
  } else {
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  }
  if (options.tls.has_value() && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return arguments;
}

// Returns null unless the servers are a list.
std::unique_ptr<Lookups> MakeLookups(const Servers& servers,
                                     const ClientOptions& options) {
  if (servers.listed.empty()) return nullptr;
  return std::make_unique<Lookups>(
      servers.listed, &Lookups::Resolve, &Lookups::StartThread,
      options.on_warning ? options.on_warning : &Lookups::Log);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connections>> Connections::Open(
    const ClientOptions& options) {
  absl::StatusOr<Servers> servers = ParseServers(options.target);
  if (!servers.ok()) return servers.status();
  if (absl::Status s = Check(options); !s.ok()) return s;
  if (absl::Status s = CheckList(*servers, options); !s.ok()) return s;
  return std::unique_ptr<Connections>(
      new Connections(*std::move(servers), options));
}

Connections::Connections(Servers servers, const ClientOptions& options)
    : servers_(std::move(servers)),
      count_(options.channels),
      arguments_(ArgumentsFor(servers_, options)),
      credentials_(CredentialsFor(options.tls)),
      lookups_(MakeLookups(servers_, options)),
      target_(lookups_ == nullptr ? servers_.text : lookups_->Target()),
      channels_(Make(target_)) {}

Connections::Channels Connections::Make(const std::string& target) const {
  Channels channels;
  for (int i = 0; i < count_; ++i) {
    channels.push_back(
        grpc::CreateCustomChannel(target, credentials_, arguments_));
  }
  return channels;
}

std::shared_ptr<grpc::Channel> Connections::Take() {
  const size_t next = next_.fetch_add(1, std::memory_order_relaxed);
  absl::MutexLock lock(&mu_);
  if (lookups_ != nullptr) {
    // Asked under the lock, so that an older target never follows a newer one.
    std::string target = lookups_->Target();
    if (target != target_) {
      channels_ = Make(target);
      target_ = std::move(target);
    }
  }
  return channels_[next % channels_.size()];
}

}  // namespace lossd::client
