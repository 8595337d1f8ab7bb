// The facts about a server that the log has at the start, the status page shows
// and GetServerInfo answers.
#ifndef LOSSD_SERVER_FACTS_H_
#define LOSSD_SERVER_FACTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.pb.h"
#include "server/config.h"
#include "server/defaults.h"
#include "server/observability/log_line.h"

namespace lossd {

// The facts that a config does not have.
struct RunningParts {
  std::string address;  // as bound
  std::string metrics_address;
  std::string backend;
  int64_t executors = 0;  // batches that can be computed at once
  int64_t rpc_threads = 0;
  const Machine* machine = nullptr;
};

// Returns version, addresses, threads, limits and security, named as the flags
// are, and the processors and the memory that limits come from.
observability::LogFields FactsOf(const Config& config,
                                 const RunningParts& parts);

// Returns what GetServerInfo answers; `on_devices` says whether device memory
// may be lent.
v1::GetServerInfoResponse ServerInfoOf(const Config& config,
                                       const std::vector<std::string>& backends,
                                       bool on_devices);

}  // namespace lossd

#endif  // LOSSD_SERVER_FACTS_H_
