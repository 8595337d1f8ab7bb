#include "server/config.h"

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/base/status_macros.h"
#include "server/config_table.h"

namespace lossd {
namespace {

absl::Status Bad(absl::string_view flag, absl::string_view value,
                 absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": must be ", rule));
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
  if (config.tls_cert.empty()) return absl::OkStatus();
  const door::TlsFiles files = TlsFilesOf(config);
  const absl::Time now = absl::Now();
  RETURN_IF_ERROR(door::ReadKeyPair(files, now).status());
  if (config.tls_client_ca.empty()) return absl::OkStatus();
  return door::ReadAuthorities(files, now).status();
}

}  // namespace

door::TlsFiles TlsFilesOf(const Config& config) {
  return {config.tls_cert, config.tls_key, config.tls_client_ca};
}

absl::Status ValidateConfig(const Config& config) {
  Config checked = config;  // rows of the table can also be set
  RETURN_IF_ERROR(CheckValues(ConfigTable(checked)));
  if (config.metrics_need_token && config.token_file.empty()) {
    return Bad("metrics_need_token", "true", "given with --token_file");
  }
  return CheckTls(config);
}

}  // namespace lossd
