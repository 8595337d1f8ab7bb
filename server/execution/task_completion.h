// What every executor does with a task beside computing its blocks.
#ifndef LOSSD_SERVER_EXECUTION_TASK_COMPLETION_H_
#define LOSSD_SERVER_EXECUTION_TASK_COMPLETION_H_

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "server/batching/task.h"
#include "server/observability/metrics.h"

namespace lossd::execution {

// Says that `blocks` blocks of the task's phase are done, their partials
// written. True: they were the last, and the caller alone has the task now.
// False: the caller does not touch the task again.
bool BlocksDone(batching::Task& task, uint64_t blocks);

// Ends the counting of a task, all of whose blocks are counted: the partials
// give the gradient's scale, and all blocks are to be computed.
void BeginComputing(batching::Task& task);

// Adds up a task, all of whose blocks are computed, counts it and hands it back
// to its owner: the task may be gone afterwards. `backend` lives as long as the
// server.
void Finish(batching::Task& task, std::string_view backend, absl::Time now,
            observability::Metrics& metrics);

}  // namespace lossd::execution

#endif  // LOSSD_SERVER_EXECUTION_TASK_COMPLETION_H_
