#include "client/cli/connection_flags.h"

#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/pem.h"

namespace lossd::cli {
namespace {

absl::Status Complain(absl::string_view flag, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat("--", flag, status.message()));
}

// Returns the content of the file that a flag names, or nothing without one.
absl::StatusOr<std::string> ReadNamed(absl::string_view flag,
                                      const std::string& path) {
  if (path.empty()) return std::string();
  absl::StatusOr<std::string> content = ReadFileOrStdin(path);
  if (content.ok()) return content;
  return Complain(absl::StrCat(flag, "="), content.status());
}

// Reads a PEM file that passes `check`; an empty path leaves `content` empty.
absl::Status ReadPem(absl::string_view flag, const std::string& path,
                     absl::Status (*check)(absl::string_view text),
                     std::string* content) {
  if (path.empty()) return absl::OkStatus();
  absl::StatusOr<std::string> read = ReadNamed(flag, path);
  if (!read.ok()) return read.status();
  *content = *std::move(read);
  absl::Status checked = check(*content);
  if (checked.ok()) return checked;
  return Complain(absl::StrCat(flag, "=", path, ": "), checked);
}

// Returns what the --tls flags ask for. The files are checked here, because
// gRPC accepts any content and then reports only that it finds no server.
absl::StatusOr<std::optional<client::TlsOptions>> MakeTls(
    const ConnectionFlags& flags) {
  client::TlsOptions tls;
  for (const absl::Status& status :
       {ReadPem("tls_ca", flags.tls_ca, &pem::CheckCertificates,
                &tls.root_certificates),
        ReadPem("tls_cert", flags.tls_cert, &pem::CheckCertificates,
                &tls.certificate_chain),
        ReadPem("tls_key", flags.tls_key, &pem::CheckKey, &tls.private_key)}) {
    if (!status.ok()) return status;
  }
  if (!flags.tls_cert.empty() && !flags.tls_key.empty()) {
    const absl::Status pair =
        pem::CheckPair(tls.certificate_chain, tls.private_key);
    if (!pair.ok()) {
      return Complain(absl::StrCat("tls_cert=", flags.tls_cert,
                                   " --tls_key=", flags.tls_key, ": "),
                      pair);
    }
  }
  if (!flags.tls && flags.tls_ca.empty() && flags.tls_cert.empty() &&
      flags.tls_key.empty()) {
    return std::nullopt;
  }
  return tls;
}

}  // namespace

Flag TimeoutRow(ConnectionFlags& flags) {
  return {
      "timeout",
      InRange(&flags.timeout, absl::Milliseconds(1), absl::InfiniteDuration()),
      "longest time that the call may take, such as 500ms or 5s; then it "
      "fails with DEADLINE_EXCEEDED"};
}

Flag TokenRow(ConnectionFlags& flags) {
  return {
      "token_file", PathValue(&flags.token_file),
      "file whose content is sent as the bearer token; - is standard input; "
      "empty sends none"};
}

FlagGroup ConnectionRows(ConnectionFlags& flags) {
  return {
      "Transport",
      {{"target", AddressValue(&flags.target),
        "the server's address: HOST:PORT, or unix:/path of its Unix socket; "
        "several servers are HOST:PORT,HOST:PORT or dns:///NAME:PORT"},
       TimeoutRow(flags),
       {"tls", AnyValue(&flags.tls),
        "use TLS; implied by --tls_ca, --tls_cert and --tls_key"},
       {"tls_ca", PathValue(&flags.tls_ca),
        "PEM file with the certificate authorities to trust; empty trusts the "
        "system's"},
       {"tls_cert", PathValue(&flags.tls_cert),
        "PEM file with the client's certificate chain, for servers that want "
        "one; needs --tls_key"},
       {"tls_key", PathValue(&flags.tls_key),
        "PEM file with the private key of the certificate in --tls_cert"},
       TokenRow(flags),
       {"traceparent", TraceparentValue(&flags.traceparent),
        "metadata traceparent of the call (W3C Trace Context), by which a "
        "server with --otlp_endpoint traces it; empty sends none"},
       {"job", AnyValue(&flags.job),
        "name of the training job, under which the server's metrics count the "
        "call; empty names none"}}};
}

absl::StatusOr<std::string> ReadToken(const ConnectionFlags& flags) {
  const auto token = ReadNamed("token_file", flags.token_file);
  if (!token.ok()) return token.status();
  return std::string(absl::StripAsciiWhitespace(*token));
}

absl::StatusOr<std::unique_ptr<client::Client>> MakeClient(
    const ConnectionFlags& flags, client::ClientOptions options) {
  options.target = flags.target;
  options.user_agent = "lossctl";
  options.on_warning = [](const std::string& warning) {
    std::fputs(absl::StrCat("lossctl: warning: ", warning, "\n").c_str(),
               stderr);
  };
  auto tls = MakeTls(flags);
  if (!tls.ok()) return tls.status();
  options.tls = *std::move(tls);
  absl::StatusOr<std::string> token = ReadToken(flags);
  if (!token.ok()) return token.status();
  options.token = *std::move(token);
  options.job = flags.job;
  return client::Client::Create(options);
}

client::CallOptions MakeCallOptions(const ConnectionFlags& flags) {
  return {.deadline = absl::Now() + flags.timeout,
          .traceparent = flags.traceparent};
}

}  // namespace lossd::cli
