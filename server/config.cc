#include "server/config.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/pem.h"
#include "server/base/status_macros.h"
#include "server/config_table.h"

namespace lossd {
namespace {

absl::Status Bad(absl::string_view flag, absl::string_view value,
                 absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": must be ", rule));
}

absl::Status Wrong(absl::string_view flag, absl::string_view path,
                   const absl::Status& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", path, ": ", why.message()));
}

// Checks the PEM files here, because gRPC accepts any content and then fails
// at each handshake without a message.
absl::Status CheckPemFiles(const Config& config) {
  struct PemFile {
    absl::string_view flag;
    const std::string& path;
    absl::Status (*check)(absl::string_view text);
    std::string text = {};
  };
  PemFile files[] = {
      {"tls_cert", config.tls_cert, &pem::CheckCertificates},
      {"tls_key", config.tls_key, &pem::CheckKey},
      {"tls_client_ca", config.tls_client_ca, &pem::CheckCertificates}};
  for (PemFile& file : files) {
    if (file.path.empty()) continue;
    absl::StatusOr<std::string> text = ReadFile(file.path);
    if (!text.ok()) return Bad(file.flag, file.path, "a file that can be read");
    if (absl::Status s = file.check(*text); !s.ok())
      return Wrong(file.flag, file.path, s);
    file.text = *std::move(text);
  }
  if (config.tls_cert.empty()) return absl::OkStatus();
  absl::Status pair = pem::CheckPair(files[0].text, files[1].text);
  if (pair.ok()) return pair;
  return Wrong("tls_cert",
               absl::StrCat(config.tls_cert, " --tls_key=", config.tls_key),
               pair);
}

absl::Status CheckTls(const Config& config) {
  if (config.tls_cert.empty() != config.tls_key.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--tls_cert=", config.tls_cert, " --tls_key=", config.tls_key,
        ": must be given together"));
  }
  if (!config.tls_client_ca.empty() && config.tls_cert.empty()) {
    return Bad("tls_client_ca", config.tls_client_ca,
               "given with --tls_cert and --tls_key");
  }
  return CheckPemFiles(config);
}

}  // namespace

absl::Status ValidateConfig(const Config& config) {
  Config checked = config;  // rows of the table can also be set
  RETURN_IF_ERROR(CheckValues(ConfigTable(checked)));
  return CheckTls(config);
}

}  // namespace lossd
