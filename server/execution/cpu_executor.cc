#include "server/execution/cpu_executor.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "kernels/cpu/sampler.h"
#include "server/execution/task_completion.h"

namespace lossd::execution {

using batching::Batch;
using batching::Portion;
using batching::Task;

namespace {

// So many blocks are computed before they are sampled. Their logits, targets
// and gradient are still in the second-level cache then.
constexpr uint64_t kSampledTogether = 32;

}  // namespace

CpuExecutor::CpuExecutor(const CpuExecutorOptions& options,
                         observability::Metrics* metrics, const Clock* clock)
    : options_(options),
      kernel_(options.instruction_set != nullptr
                  ? *options.instruction_set
                  : kernels::cpu::BestInstructionSet()),
      backend_("cpu/" + std::string(kernel_.name)),
      metrics_(metrics),
      clock_(clock) {}

CpuExecutor::~CpuExecutor() { assert(threads_.empty()); }

void CpuExecutor::Start(batching::Batcher& batcher) {
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this, &batcher] {
      while (std::optional<Batch> batch = batcher.Take()) {
        Run(*std::move(batch));
      }
    });
  }
}

void CpuExecutor::Join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void CpuExecutor::Run(Batch batch) {
  metrics_->RecordBatch(static_cast<int64_t>(batch.portions.size()),
                        batch.elements);
  const absl::Time started = clock_->Now();
  // All tasks are computed before the first is answered: an answer may write
  // megabytes to a socket on this thread, and the other tasks would wait for
  // it.
  absl::InlinedVector<Task*, 8> computed;
  for (const Portion& portion : batch.portions) {
    if (RunPortion(portion, batch)) computed.push_back(portion.task);
  }
  const absl::Time finished = clock_->Now();
  metrics_->RecordCompute(backend_, finished - started);
  for (Task* task : computed) {
    Finish(*task, kernels::Combine(task->partials), backend_, finished,
           *metrics_);
  }
}

bool CpuExecutor::RunPortion(const Portion& portion, Batch& batch) {
  Task& task = *portion.task;
  assert(task.segment.device == kernels::kHost);
  const uint64_t first = portion.first_block;
  const uint64_t count = portion.block_count;
  const std::span<kernels::BlockPartial> partials =
      std::span(task.partials).subspan(first, count);
  if (task.phase == Task::Phase::kCounting) {
    kernel_.count_blocks(task.segment, first, partials);
    const bool has_all_blocks = count == task.partials.size();
    if (!BlocksDone(task, count)) return false;
    BeginComputing(task);
    if (!has_all_blocks) {
      batch.PutBack(&task);
      return false;
    }
  }
  if (IsSampled(task)) {
    ComputeSampled(task, first, partials);
  } else {
    kernel_.compute_blocks(task.segment, task.gradient_scale, first, partials);
  }
  return BlocksDone(task, count);
}

void CpuExecutor::ComputeSampled(
    const Task& task, uint64_t first_block,
    std::span<kernels::BlockPartial> partials) const {
  kernels::cpu::Sampler sampler(task.segment, task.blocks_before);
  kernels::Sample sample;
  while (!partials.empty()) {
    const uint64_t count = std::min(kSampledTogether, partials.size());
    kernel_.compute_blocks(task.segment, task.gradient_scale, first_block,
                           partials.first(count));
    sample.Add(sampler.SampleBlocks(first_block, count));
    first_block += count;
    partials = partials.subspan(count);
  }
  metrics_->jobs().Record(task.job, sample);
}

}  // namespace lossd::execution
