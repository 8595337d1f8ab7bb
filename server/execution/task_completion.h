// The steps of a task that are the same on every executor. All functions are
// thread-safe for different tasks.
#ifndef LOSSD_SERVER_EXECUTION_TASK_COMPLETION_H_
#define LOSSD_SERVER_EXECUTION_TASK_COMPLETION_H_

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "server/batching/task.h"
#include "server/observability/metrics.h"

namespace lossd::execution {

// Notes that `blocks` blocks of the task's phase are done and their partials
// written. Returns true if they were the last: then the caller alone has the
// task. After false the caller must not touch the task again. Several threads
// may call it for one task.
bool BlocksDone(batching::Task& task, uint64_t blocks);

// Ends the counting phase of a task that keeps its partials, all of whose
// blocks are counted.
void BeginComputing(batching::Task& task);
using batching::BeginComputing;

// Returns whether the elements of a task are sampled for its job's metrics: not
// if they lie on a device, because the host samples them (D93).
inline bool IsSampled(const batching::Task& task) {
  return task.job != 0 && task.segment.device == kernels::kHost;
}

// Records a task, all of whose blocks are computed, in the metrics and hands it
// back to its owner with the sums of its partials; the task may be gone
// afterwards. `backend` lives as long as the server.
void Finish(batching::Task& task, const kernels::Totals& totals,
            std::string_view backend, absl::Time now,
            observability::Metrics& metrics);

}  // namespace lossd::execution

#endif  // LOSSD_SERVER_EXECUTION_TASK_COMPLETION_H_
