#include "server/execution/task_completion.h"

#include <atomic>

namespace lossd::execution {

using batching::Task;

namespace {

void RecordForJob(const Task& task, const kernels::Totals& totals,
                  observability::Metrics& metrics) {
  metrics.jobs().Record(
      task.job,
      {.begins_request = task.blocks_before == 0,
       .has_gradient = IsSampled(task) && task.segment.gradient != nullptr,
       .elements = static_cast<int64_t>(task.segment.element_count),
       .nan_logits = static_cast<int64_t>(totals.nan_count),
       .valid_elements = static_cast<int64_t>(totals.valid_count),
       .loss_sum = task.loss_weight * totals.loss_sum});
}

}  // namespace

bool BlocksDone(Task& task, uint64_t blocks) {
  // Release: the thread that ends the phase sees the partials and gradients
  // that this thread has written. Acquire: if this thread ends it, it sees all
  // others.
  return task.blocks_left.fetch_sub(blocks, std::memory_order_acq_rel) ==
         blocks;
}

void BeginComputing(Task& task) {
  batching::BeginComputing(task, kernels::Combine(task.partials));
}

void Finish(Task& task, const kernels::Totals& totals, std::string_view backend,
            absl::Time now, observability::Metrics& metrics) {
  batching::Computed computed = batching::AnswerOf(task, totals);
  computed.backend = backend;
  computed.finished = now;
  metrics.RecordQueueWait(task.started - task.enqueued);
  metrics.RecordElements(task.segment.options.kind, task.segment.logits.type,
                         static_cast<int64_t>(task.segment.element_count));
  if (computed.totals.nan_count > 0) {
    metrics.RecordNanLogits(static_cast<int64_t>(computed.totals.nan_count));
  }
  if (task.job != 0) RecordForJob(task, totals, metrics);
  task.OnComputed(computed);
}

}  // namespace lossd::execution
