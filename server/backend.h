// Which backend computes.
#ifndef LOSSD_SERVER_BACKEND_H_
#define LOSSD_SERVER_BACKEND_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/config.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd {

// Threads that compute: the flag, or one per core.
int CpuThreads(const Config& config);

// The name of what ChooseExecutor() will return, for the metrics, which exist
// before it. Fails as ChooseExecutor() does.
absl::StatusOr<std::string> ChooseBackend(const Config& config);

// The executor for --backend. UNAVAILABLE or UNIMPLEMENTED for --backend=cuda
// on a machine or in a build that cannot; --backend=auto falls back to the CPU.
// `metrics` and `clock` are borrowed.
absl::StatusOr<std::unique_ptr<execution::Executor>> MakeExecutor(
    const Config& config, observability::Metrics* metrics, const Clock* clock);

}  // namespace lossd

#endif  // LOSSD_SERVER_BACKEND_H_
