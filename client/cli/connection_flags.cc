#include "client/cli/connection_flags.h"

#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/cli/file.h"

ABSL_FLAG(std::string, target, "localhost:50051",
          "the server: host:port, or unix:/path");
ABSL_FLAG(bool, tls, false, "use TLS; the --tls_* flags imply it");
ABSL_FLAG(std::string, tls_ca, "",
          "PEM file of the authorities to trust; empty: the system's");
ABSL_FLAG(std::string, tls_cert, "", "PEM file of the client's certificate");
ABSL_FLAG(std::string, tls_key, "", "PEM file of the client's key");
ABSL_FLAG(std::string, token_file, "",
          "file whose content is sent as the bearer token");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(30),
          "a call that takes longer fails with DEADLINE_EXCEEDED");

namespace lossd::cli {
namespace {

// The content of the file that a flag names; empty if it names none.
absl::Status ReadNamed(const absl::Flag<std::string>& flag,
                       std::string& content) {
  const std::string path = absl::GetFlag(flag);
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> read = ReadFile(path);
  if (!read.ok()) return read.status();
  content = *std::move(read);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<client::Client>> ClientFromFlags() {
  client::ClientOptions options;
  options.target = absl::GetFlag(FLAGS_target);
  options.user_agent = "lossctl";
  client::TlsOptions tls;
  std::string token;
  for (const absl::Status& status :
       {ReadNamed(FLAGS_tls_ca, tls.root_certificates),
        ReadNamed(FLAGS_tls_cert, tls.certificate_chain),
        ReadNamed(FLAGS_tls_key, tls.private_key),
        ReadNamed(FLAGS_token_file, token)}) {
    if (!status.ok()) return status;
  }
  options.token = std::string(absl::StripAsciiWhitespace(token));
  if (absl::GetFlag(FLAGS_tls) || !tls.root_certificates.empty() ||
      !tls.certificate_chain.empty() || !tls.private_key.empty()) {
    options.tls = std::move(tls);
  }
  return client::Client::Create(std::move(options));
}

client::CallOptions CallOptionsFromFlags() {
  return {.deadline = absl::Now() + absl::GetFlag(FLAGS_timeout)};
}

}  // namespace lossd::cli
