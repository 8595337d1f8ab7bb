#include "server/batching/task.h"

namespace lossd::batching {

void Prepare(Task& task) {
  const kernels::Segment& segment = task.segment;
  const uint64_t blocks = kernels::BlockCount(segment);
  task.partials.resize(IsIndivisible(segment) ? 0 : blocks);
  task.next_block = 0;
  task.started = absl::Time();
  task.batch_requests = 0;
  task.batch_elements = 0;
  task.blocks_left.store(blocks, std::memory_order_relaxed);
  const bool has_derivatives = segment.has_derivatives();
  if (has_derivatives && kernels::NeedsCounts(segment.options)) {
    task.phase = Task::Phase::kCounting;
    task.gradient_scale = 0;
    return;
  }
  // Without derivatives nothing is scaled before the end, and the end knows all
  // counts.
  task.phase = Task::Phase::kComputing;
  task.gradient_scale =
      has_derivatives
          ? kernels::GradientScale(segment, kernels::NormalizerOf(segment, {}))
          : 0;
}

uint64_t PreparedBytes(const kernels::Segment& segment) {
  const uint64_t blocks = kernels::BlockCount(segment);
  return blocks > 1 && !IsIndivisible(segment)
             ? blocks * sizeof(kernels::BlockPartial)
             : 0;
}

Computed AnswerOf(const Task& task, const kernels::Totals& totals) {
  Computed computed;
  computed.totals = totals;
  computed.normalizer = kernels::NormalizerOf(task.segment, computed.totals);
  computed.batch_requests = task.batch_requests;
  computed.batch_elements = task.batch_elements;
  computed.started = task.started;
  return computed;
}

Computed AnswerOf(const Task& task) {
  return AnswerOf(task, kernels::Combine(task.partials));
}

}  // namespace lossd::batching
