#include "server/execution/cuda/cuda_executor.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "kernels/cuda/batch_layout.h"
#include "server/execution/finish.h"
#include "server/observability/log.h"

namespace lossd::execution::cuda {

using batching::Batch;
using batching::Portion;
using batching::Task;

namespace {

// The gradient's scale must be known before a batch is staged. Counting reads
// the targets and weights alone, which staging reads next.
void CountOnTheCpu(Task& task) {
  kernels::cpu::CountBlocks(task.segment, 0, task.partials);
  BlocksDone(task, task.partials.size());
  BeginComputing(task);
}

kernels::cuda::BatchLayout LayOut(const Batch& batch) {
  std::vector<kernels::cuda::BatchItem> items;
  for (const Portion& portion : batch.portions) {
    items.push_back({&portion.task->segment, portion.task->gradient_scale});
  }
  return kernels::cuda::BatchLayout(items);
}

}  // namespace

CudaExecutor::CudaExecutor(const CudaExecutorOptions& options,
                           Executor& fallback, observability::Metrics* metrics,
                           const Clock* clock)
    : options_(options),
      fallback_(fallback),
      metrics_(metrics),
      clock_(clock) {}

CudaExecutor::~CudaExecutor() { assert(threads_.empty()); }

absl::StatusOr<std::unique_ptr<CudaExecutor>> CudaExecutor::Create(
    const CudaExecutorOptions& options,
    std::vector<std::unique_ptr<Device>> devices, Executor& fallback,
    observability::Metrics* metrics, const Clock* clock) {
  std::unique_ptr<CudaExecutor> executor(
      new CudaExecutor(options, fallback, metrics, clock));
  for (std::unique_ptr<Device>& device : devices) {
    auto slots = SlotPool::Create(*device, options.slots_per_device);
    if (!slots.ok()) return std::move(slots).status();
    auto unit = std::make_unique<Unit>();
    unit->device = std::move(device);
    unit->slots = *std::move(slots);
    executor->units_.push_back(std::move(unit));
  }
  return executor;
}

int CudaExecutor::concurrency() const {
  return options_.slots_per_device * static_cast<int>(units_.size());
}

void CudaExecutor::Start(batching::Batcher& batcher) {
  for (const std::unique_ptr<Unit>& unit : units_) {
    for (int k = 0; k < options_.slots_per_device; ++k) {
      threads_.emplace_back([this, &batcher, at = unit.get()] {
        while (std::optional<Batch> batch = batcher.Take()) {
          RunOn(*at, *std::move(batch));
        }
      });
    }
  }
}

void CudaExecutor::Join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

// The device with the most free slots, of those that are left.
void CudaExecutor::Run(Batch batch) {
  const auto best = std::max_element(
      units_.begin(), units_.end(), [](const auto& a, const auto& b) {
        return std::pair(!a->retired, a->slots->free_slots()) <
               std::pair(!b->retired, b->slots->free_slots());
      });
  RunOn(**best, std::move(batch));
}

void CudaExecutor::RunOn(Unit& unit, Batch batch) {
  if (unit.retired) return fallback_.Run(std::move(batch));
  const absl::Time started = clock_->Now();
  if (absl::Status status = Compute(unit, batch); !status.ok()) {
    NoteFailure(unit, status);
    return fallback_.Run(std::move(batch));
  }
  const absl::Time finished = clock_->Now();
  const std::string_view name = unit.device->name();
  metrics_->BatchTaken(static_cast<int64_t>(batch.portions.size()),
                       batch.elements);
  metrics_->Compute(name, finished - started);
  for (const Portion& portion : batch.portions) {
    BlocksDone(*portion.task, portion.block_count);
    Finish(*portion.task, name, finished, *metrics_);
  }
}

// On success every task has its partials and results; else nothing has changed
// that the fallback does not write again.
absl::Status CudaExecutor::Compute(Unit& unit, const Batch& batch) {
  for (const Portion& portion : batch.portions) {
    assert(portion.block_count == portion.task->partials.size());
    if (portion.task->phase == Task::Phase::kCounting)
      CountOnTheCpu(*portion.task);
  }
  const kernels::cuda::BatchLayout layout = LayOut(batch);
  SlotLease slot = unit.slots->Acquire();
  if (!slot.held()) return absl::UnavailableError("the slots are closed");
  if (absl::Status status = slot->Compute(layout); !status.ok()) return status;
  for (size_t k = 0; k < batch.portions.size(); ++k) {
    const auto partials = layout.Partials(k, slot->output());
    std::copy(partials.begin(), partials.end(),
              batch.portions[k].task->partials.begin());
    layout.CopyResults(k, slot->output());
  }
  return absl::OkStatus();
}

void CudaExecutor::NoteFailure(Unit& unit, const absl::Status& status) {
  metrics_->DeviceError(unit.device->name());
  const bool retire = IsSticky(status) && !unit.retired.exchange(true);
  observability::LogError(
      absl::StrCat(std::string(unit.device->name()), ": ", status.message(),
                   retire ? "; the device is retired, the CPU takes over"
                          : "; the CPU computes this batch"));
}

}  // namespace lossd::execution::cuda
