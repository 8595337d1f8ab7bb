#include "client/cli/connection_flags.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/file.h"
#include "base/pem.h"

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

absl::Status Complain(absl::string_view what, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat("--", what, status.message()));
}

// The content of the file that a flag names, if it names one.
absl::Status ReadNamed(absl::string_view flag, const std::string& path,
                       std::string& content) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> read = ReadFileOrStdin(path);
  if (!read.ok()) return Complain(absl::StrCat(flag, "="), read.status());
  content = *std::move(read);
  return absl::OkStatus();
}

// The same of a file in PEM that passes the check.
absl::Status ReadPem(absl::string_view flag, const std::string& path,
                     absl::Status (*check)(absl::string_view text),
                     std::string& content) {
  if (path.empty()) return absl::OkStatus();
  if (absl::Status s = ReadNamed(flag, path, content); !s.ok()) return s;
  const absl::Status checked = check(content);
  if (checked.ok()) return checked;
  return Complain(absl::StrCat(flag, "=", path, ": "), checked);
}

// The --tls_* flags, whose files gRPC would take whatever is in them, and then
// find no server.
absl::StatusOr<std::optional<client::TlsOptions>> TlsFromFlags() {
  const std::string authorities = absl::GetFlag(FLAGS_tls_ca);
  const std::string certificate = absl::GetFlag(FLAGS_tls_cert);
  const std::string key = absl::GetFlag(FLAGS_tls_key);
  client::TlsOptions tls;
  for (const absl::Status& status :
       {ReadPem("tls_ca", authorities, &pem::CheckCertificates,
                tls.root_certificates),
        ReadPem("tls_cert", certificate, &pem::CheckCertificates,
                tls.certificate_chain),
        ReadPem("tls_key", key, &pem::CheckKey, tls.private_key)}) {
    if (!status.ok()) return status;
  }
  if (!certificate.empty() && !key.empty()) {
    const absl::Status pair =
        pem::CheckPair(tls.certificate_chain, tls.private_key);
    if (!pair.ok()) {
      return Complain(
          absl::StrCat("tls_cert=", certificate, " --tls_key=", key, ": "),
          pair);
    }
  }
  if (!absl::GetFlag(FLAGS_tls) && authorities.empty() && certificate.empty() &&
      key.empty()) {
    return std::nullopt;
  }
  return tls;
}

}  // namespace

absl::StatusOr<std::unique_ptr<client::Client>> ClientFromFlags() {
  client::ClientOptions options;
  options.target = absl::GetFlag(FLAGS_target);
  options.user_agent = "lossctl";
  auto tls = TlsFromFlags();
  if (!tls.ok()) return tls.status();
  options.tls = *std::move(tls);
  std::string token;
  if (absl::Status s =
          ReadNamed("token_file", absl::GetFlag(FLAGS_token_file), token);
      !s.ok()) {
    return s;
  }
  options.token = std::string(absl::StripAsciiWhitespace(token));
  return client::Client::Create(std::move(options));
}

client::CallOptions CallOptionsFromFlags() {
  return {.deadline = absl::Now() + absl::GetFlag(FLAGS_timeout)};
}

}  // namespace lossd::cli
