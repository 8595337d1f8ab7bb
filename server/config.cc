#include "server/config.h"

#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/pem.h"

namespace lossd {
namespace {

absl::Status Bad(absl::string_view flag, const absl::AlphaNum& value,
                 absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", value, ": must be ", rule));
}

absl::Status Wrong(absl::string_view flag, const std::string& path,
                   const absl::Status& why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", path, ": ", why.message()));
}

// HOST:PORT, with an IPv6 host in brackets.
absl::Status CheckAddress(absl::string_view flag, const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = -1;
  const bool split = colon != std::string::npos && colon > 0;
  if (!split || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return Bad(flag, address, "HOST:PORT with a port in [0, 65535]");
  }
  return absl::OkStatus();
}

absl::Status CheckRange(absl::string_view flag, int64_t value, int64_t least,
                        int64_t most = std::numeric_limits<int64_t>::max()) {
  if (value >= least && value <= most) return absl::OkStatus();
  return Bad(flag, value,
             most == std::numeric_limits<int64_t>::max()
                 ? absl::StrCat("at least ", least)
                 : absl::StrCat("in [", least, ", ", most, "]"));
}

absl::Status CheckDuration(absl::string_view flag, absl::Duration value,
                           absl::Duration most) {
  if (value >= absl::ZeroDuration() && value <= most) return absl::OkStatus();
  return Bad(flag, absl::FormatDuration(value),
             absl::StrCat("in [0, ", absl::FormatDuration(most),
                          "], such as 200us or 5s"));
}

absl::Status CheckReadable(absl::string_view flag, const std::string& path) {
  if (path.empty() || std::ifstream(path).good()) return absl::OkStatus();
  return Bad(flag, path, "a file that can be read");
}

// Of a socket to be made; empty: none is.
absl::Status CheckSocketPath(absl::string_view flag, const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Bad(
        flag, path,
        absl::StrCat("shorter than ", sizeof(sockaddr_un::sun_path), " bytes"));
  }
  const auto folder = std::filesystem::absolute(path).parent_path();
  std::error_code error;
  if (std::filesystem::is_directory(folder, error)) return absl::OkStatus();
  return Bad(
      flag, path,
      absl::StrCat("in a directory, and ", folder.string(), " is not there"));
}

absl::Status CheckNumbers(const Config& config) {
  constexpr int64_t kMaxThreads = 1024;
  constexpr int64_t kMaxMessage = std::numeric_limits<int32_t>::max();
  const absl::Status checks[] = {
      CheckRange("cuda_streams", config.cuda_streams, 1, 64),
      CheckRange("max_pinned_bytes", config.max_pinned_bytes, 1 << 20),
      CheckRange("cpu_threads", config.cpu_threads, 0, kMaxThreads),
      CheckRange("rpc_threads", config.rpc_threads, 0, kMaxThreads),
      CheckRange("max_batch_requests", config.max_batch_requests, 1),
      CheckRange("max_batch_elements", config.max_batch_elements, 1),
      CheckRange("max_inline_elements", config.max_inline_elements, 0),
      CheckRange("max_inflight_bytes", config.max_inflight_bytes, 1),
      CheckRange("max_inflight_requests", config.max_inflight_requests, 1),
      CheckRange("max_shared_memory_bytes", config.max_shared_memory_bytes, 0),
      CheckRange("max_shared_memory_bytes_per_connection",
                 config.max_shared_memory_bytes_per_connection, 0),
      // protobuf counts a message's bytes in 31 bits
      CheckRange("max_message_bytes", config.max_message_bytes, 1, kMaxMessage),
      CheckDuration("max_queue_delay", config.max_queue_delay,
                    absl::Seconds(10)),
      CheckDuration("drain_timeout", config.drain_timeout, absl::Hours(1)),
      CheckDuration("stream_idle_timeout", config.stream_idle_timeout,
                    absl::Hours(24)),
  };
  for (const absl::Status& status : checks) {
    if (!status.ok()) return status;
  }
  for (const int device : config.cuda_devices) {
    if (device < 0)
      return Bad("cuda_devices", device, "device numbers from 0 up");
  }
  return absl::OkStatus();
}

// gRPC would take anything, and fail at each handshake without a word.
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
  if (absl::Status s = CheckReadable("token_file", config.token_file); !s.ok())
    return s;
  return CheckPemFiles(config);
}

}  // namespace

absl::Status ValidateConfig(const Config& config) {
  if (absl::Status s = CheckAddress("listen", config.listen); !s.ok()) return s;
  if (absl::Status s = CheckAddress("metrics_listen", config.metrics_listen);
      !s.ok()) {
    return s;
  }
  for (const auto& [flag, path] :
       {std::pair("unix_socket", config.unix_socket),
        std::pair("shared_memory_socket", config.shared_memory_socket)}) {
    if (absl::Status s = CheckSocketPath(flag, path); !s.ok()) return s;
  }
  if (absl::Status s = CheckNumbers(config); !s.ok()) return s;
  return CheckTls(config);
}

}  // namespace lossd
