// The settings of a server.
#ifndef LOSSD_SERVER_CONFIG_H_
#define LOSSD_SERVER_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/door/tls_files.h"
#include "server/observability/log.h"

namespace lossd {

enum class Backend { kAuto, kCpu, kCuda };

// The settings of a server, each with its default and the reason for it.
// config_table.h says which flag sets a member, in which range, and to what
// end.
struct Config {
  std::string listen = "0.0.0.0:50051";
  std::string unix_socket;
  // Metrics tell much about a server, so they stay on this machine by default.
  std::string metrics_listen = "127.0.0.1:9464";

  Backend backend = Backend::kAuto;
  std::vector<int> cuda_devices;
  // Each stream has a thread that stages its batches, at about 12 GB/s of host
  // memory. A bus of 55 GB/s takes 8 of every 12 bytes that staging float32
  // moves, so eight such threads keep it busy.
  int cuda_streams = 8;  // D33
  // Two batches of the largest message, or hundreds of usual ones.
  int64_t max_pinned_bytes = int64_t{1} << 30;
  int cpu_threads = 0;
  std::string instruction_set;  // empty is the machine's best
  // The default (0) is one for two processors: RPC threads only carry bytes,
  // and two that serve one connection slow each other down.
  int rpc_threads = 0;  // D21

  int64_t max_batch_requests = 256;
  // Enough to amortise a wake-up, and small enough that all cores share a huge
  // request.
  int64_t max_batch_elements = int64_t{1} << 18;
  // Computing this many elements takes less time than waking another thread.
  int64_t max_inline_elements = int64_t{1} << 14;
  absl::Duration max_queue_delay = absl::ZeroDuration();

  // Each 0 is a part of the memory that this process may use (PlanMemory()).
  int64_t max_inflight_bytes = 0;     // at most 1 GiB
  int64_t max_inflight_requests = 0;  // at most 4096
  int64_t max_message_bytes = 0;      // at most 256 MiB
  // The default of 0 takes as many as there are descriptors for.
  int64_t max_connections = 0;
  absl::Duration drain_delay = absl::ZeroDuration();
  // Below the 30 s after which orchestrators kill.
  absl::Duration drain_timeout = absl::Seconds(20);
  absl::Duration stream_idle_timeout = absl::Seconds(60);
  // gRPC's clients ping every 10 s at the most often, and a ping may arrive
  // early.
  absl::Duration keepalive_min_interval = absl::Seconds(5);
  // Slow links and busy clients take a few seconds. gRPC's own is 120 s.
  absl::Duration handshake_timeout = absl::Seconds(20);

  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  std::string token_file;
  bool metrics_need_token = false;
  bool trust_flow_header = false;  // D91
  std::string shared_memory_socket;
  // These bytes are taken from the machine as clients ask for them, beside the
  // bytes in flight.
  int64_t max_shared_memory_bytes = int64_t{4} << 30;
  int64_t max_shared_memory_bytes_per_connection = int64_t{1} << 30;
  bool channelz = false;

  std::string otlp_endpoint;  // empty traces no call
  std::string otlp_service_name = "lossd";
  // Enough for the runs of a team, few enough for Prometheus: each has 14
  // series.
  int64_t max_jobs = 32;  // D93

  std::string log_level = "info";
  observability::LogFormat log_format = observability::LogFormat::kText;
};

// Returns the paths of the files for TLS.
door::TlsFiles TlsFilesOf(const Config& config);

// Returns OK, or INVALID_ARGUMENT in one line that names the flag and its
// value. Reads the files that flags name.
absl::Status ValidateConfig(const Config& config);

}  // namespace lossd

#endif  // LOSSD_SERVER_CONFIG_H_
