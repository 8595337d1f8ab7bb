#include "server/facts.h"

#include "base/version.h"
#include "server/rpc/loss_service.h"

namespace lossd {
namespace {

std::string Tls(const Config& config) {
  if (config.tls_cert.empty()) return "off";
  return config.tls_client_ca.empty() ? "on" : "mutual";
}

}  // namespace

observability::LogFields FactsOf(const Config& config,
                                 const RunningParts& parts) {
  const Machine& machine = *parts.machine;
  return {{"version", kVersion},
          {"backend", parts.backend},
          {"listen", parts.address},
          {"unix_socket", config.unix_socket},
          {"metrics_listen", parts.metrics_address},
          {"shared_memory_socket", config.shared_memory_socket},
          {"executors", parts.executors},
          {"rpc_threads", parts.rpc_threads},
          {"processors", machine.cpus.count},
          {"processors_by", machine.cpus.reason},
          {"memory_bytes", machine.memory.bytes},
          {"memory_by", machine.memory.reason},
          {"max_inflight_bytes", config.max_inflight_bytes},
          {"max_inflight_requests", config.max_inflight_requests},
          {"max_message_bytes", config.max_message_bytes},
          {"tls", Tls(config)},
          {"tokens", config.token_file.empty() ? "off" : "on"},
          {"otlp_endpoint", config.otlp_endpoint}};
}

v1::GetServerInfoResponse ServerInfoOf(const Config& config,
                                       const std::vector<std::string>& backends,
                                       bool on_devices) {
  v1::GetServerInfoResponse info;
  info.set_version(kVersion);
  for (const std::string& name : backends) info.add_backends(name);
  info.set_max_message_bytes(config.max_message_bytes);
  info.set_max_inflight_bytes(config.max_inflight_bytes);
  info.set_max_inflight_requests(config.max_inflight_requests);
  info.set_max_batch_requests(config.max_batch_requests);
  info.set_max_batch_elements(config.max_batch_elements);
  info.set_supports_shared_memory(!config.shared_memory_socket.empty());
  info.set_supports_device_memory(on_devices &&
                                  !config.shared_memory_socket.empty());
  rpc::DescribeBuild(&info);
  return info;
}

}  // namespace lossd
