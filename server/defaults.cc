#include "server/defaults.h"

#include <algorithm>

namespace lossd {

Config WithDefaults(Config config, const Machine& machine) {
  const int cpus = machine.cpus.count;
  if (config.cpu_threads == 0) config.cpu_threads = cpus;
  if (config.rpc_threads == 0) {
    config.rpc_threads = std::clamp(cpus / 2, 1, 4);  // D21
  }
  const MemoryPlan plan = PlanMemory(machine.memory.bytes);
  if (config.max_inflight_bytes == 0) {
    config.max_inflight_bytes = plan.inflight_bytes;
  }
  if (config.max_inflight_requests == 0) {
    config.max_inflight_requests = plan.inflight_requests;
  }
  if (config.max_message_bytes == 0) {
    config.max_message_bytes = plan.message_bytes;
  }
  return config;
}

MemoryPlan PlanOf(const Config& config, const Machine& machine) {
  return {.inflight_bytes = config.max_inflight_bytes,
          .inflight_requests = config.max_inflight_requests,
          .message_bytes = config.max_message_bytes,
          .waiting_bytes = PlanMemory(machine.memory.bytes).waiting_bytes};
}

}  // namespace lossd
