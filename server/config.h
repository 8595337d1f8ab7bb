// How the server is set up.
#ifndef LOSSD_SERVER_CONFIG_H_
#define LOSSD_SERVER_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/observability/log.h"

namespace lossd {

enum class Backend { kAuto, kCpu, kCuda };

// One field per flag of flags.cc, which documents them; defaults and their
// reasons are here. 0 means "chosen from the machine" where a comment says so.
struct Config {
  std::string listen = "0.0.0.0:50051";
  std::string unix_socket;  // empty: none
  // Metrics tell much about a server: loopback unless asked otherwise.
  std::string metrics_listen = "127.0.0.1:9464";

  Backend backend = Backend::kAuto;
  std::vector<int> cuda_devices;  // empty: all
  // Each has a thread that stages its batches, at about 12 GB/s of the host's
  // memory; of float32 that is 12 bytes for every 8 that a bus of 55 GB/s
  // takes. So many keep up with it.
  int cuda_streams = 8;  // D33
  // Of each device. Two batches of the largest message, or hundreds of usual
  // ones.
  int64_t max_pinned_bytes = int64_t{1} << 30;
  int cpu_threads = 0;  // 0: as many as the machine runs at once
  // 0: one for two cores, at least 1 and at most 4. They carry bytes; two that
  // serve one connection get into each other's way.
  int rpc_threads = 0;  // D21

  int64_t max_batch_requests = 256;
  // Enough to amortise a wake-up; small enough that a huge request is shared by
  // all cores.
  int64_t max_batch_elements = int64_t{1} << 18;
  // Computing so many elements takes less time than waking another thread.
  int64_t max_inline_elements = int64_t{1} << 14;
  absl::Duration max_queue_delay = absl::ZeroDuration();

  int64_t max_inflight_bytes = int64_t{1} << 30;
  int64_t max_inflight_requests = 4096;
  int64_t max_message_bytes = int64_t{256} << 20;
  // Below the 30 s after which orchestrators kill.
  absl::Duration drain_timeout = absl::Seconds(20);
  absl::Duration stream_idle_timeout = absl::Seconds(60);  // 0: never

  std::string tls_cert;
  std::string tls_key;
  std::string tls_client_ca;
  std::string token_file;
  std::string shared_memory_socket;  // empty: none
  // Pages taken from the machine as clients ask for them, beside the bytes in
  // flight.
  int64_t max_shared_memory_bytes = int64_t{4} << 30;
  int64_t max_shared_memory_bytes_per_connection = int64_t{1} << 30;
  bool channelz = false;

  std::string log_level = "info";
  observability::LogFormat log_format = observability::LogFormat::kText;
};

// INVALID_ARGUMENT, in one line that names the flag and its value.
absl::Status ValidateConfig(const Config& config);

}  // namespace lossd

#endif  // LOSSD_SERVER_CONFIG_H_
