#include "server/execution/cuda/cuda_executor.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "kernels/cuda/batch_layout.h"
#include "server/batching/decision.h"
#include "server/execution/finish.h"
#include "server/observability/log.h"

namespace lossd::execution::cuda {

using batching::Batch;
using batching::Portion;
using batching::Task;

namespace {

// The gradient's scale must be known before blocks are staged. Counting reads
// the targets and weights alone, which staging reads next. True: the portion's
// blocks can be computed now.
bool CountOnTheCpu(const Portion& portion, Batch& batch) {
  Task& task = *portion.task;
  const uint64_t count = portion.block_count;
  const bool whole = count == task.partials.size();
  kernels::cpu::CountBlocks(
      task.segment, portion.first_block,
      std::span(task.partials).subspan(portion.first_block, count));
  if (!BlocksDone(task, count)) return false;
  BeginComputing(task);
  if (!whole) batch.PutBack(&task);
  return whole;
}

// Leaves in the batch what can be computed.
void CountAsNeeded(Batch& batch) {
  const auto stays = [&batch](const Portion& portion) {
    return portion.task->phase == Task::Phase::kComputing ||
           CountOnTheCpu(portion, batch);
  };
  auto& portions = batch.portions;
  portions.erase(std::stable_partition(portions.begin(), portions.end(), stays),
                 portions.end());
}

kernels::cuda::BatchLayout LayOut(std::span<const Portion> portions) {
  std::vector<kernels::cuda::BatchItem> items;
  for (const Portion& portion : portions) {
    items.push_back({&portion.task->segment,
                     portion.task->gradient_scale,
                     {portion.first_block, portion.block_count}});
  }
  return kernels::cuda::BatchLayout(items);
}

void TakeResults(const kernels::cuda::BatchLayout& layout,
                 std::span<const Portion> portions, const std::byte* output) {
  for (size_t k = 0; k < portions.size(); ++k) {
    const auto partials = layout.Partials(k, output);
    std::copy(partials.begin(), partials.end(),
              portions[k].task->partials.begin() +
                  static_cast<ptrdiff_t>(portions[k].first_block));
    layout.CopyResults(k, output);
  }
}

int64_t ElementsOf(std::span<const Portion> portions) {
  int64_t elements = 0;
  for (const Portion& portion : portions) {
    elements += batching::ElementsIn(portion.task->segment.element_count,
                                     portion.first_block, portion.block_count);
  }
  return elements;
}

// Less of it may go.
bool IsTooMuch(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsOutOfRange(status);
}

}  // namespace

CudaExecutor::CudaExecutor(std::unique_ptr<SlotPool> slots, Executor& fallback,
                           observability::Metrics* metrics, const Clock* clock,
                           std::function<void()> on_none_left)
    : slots_(std::move(slots)),
      fallback_(fallback),
      metrics_(metrics),
      clock_(clock),
      on_none_left_(std::move(on_none_left)) {}

CudaExecutor::~CudaExecutor() { assert(threads_.empty()); }

void CudaExecutor::Start(batching::Batcher& batcher) {
  batcher_ = &batcher;
  const int threads = slots_->free_slots();
  for (int k = 0; k < threads; ++k) {
    threads_.emplace_back([this, &batcher] { TakeBatches(batcher); });
  }
}

void CudaExecutor::Join() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

// Who has no slot would take batches out of the queue only to wait with them:
// there they still coalesce, and expire in time.
void CudaExecutor::TakeBatches(batching::Batcher& batcher) {
  while (!MayLeave()) {
    std::optional<Batch> batch = batcher.Take();
    if (!batch) return;
    Run(*std::move(batch));
  }
}

bool CudaExecutor::MayLeave() {
  int surplus = surplus_threads_.load();
  while (surplus > 0) {
    if (surplus_threads_.compare_exchange_weak(surplus, surplus - 1)) {
      return true;
    }
  }
  return false;
}

void CudaExecutor::Run(Batch batch) {
  std::vector<Portion> refused;
  CountAsNeeded(batch);
  while (!batch.portions.empty()) {
    const SlotLease slot = slots_->Acquire();
    if (!slot.held()) break;  // no device is left
    RunOn(slot, batch, refused);
  }
  batch.portions.insert(batch.portions.end(), refused.begin(), refused.end());
  if (batch.portions.empty()) return;
  batch.elements = ElementsOf(batch.portions);
  fallback_.Run(std::move(batch));
}

void CudaExecutor::RunOn(const SlotLease& slot, Batch& batch,
                         std::vector<Portion>& refused) {
  auto& left = batch.portions;
  for (size_t most = left.size(); !left.empty();) {
    const size_t count = std::min(most, left.size());
    const std::span<const Portion> portions(left.data(), count);
    const absl::Status status = Compute(slot, portions);
    if (!status.ok()) NoteFailure(slot, status);
    if (IsSticky(status)) return;
    if (IsTooMuch(status) && count > 1) {
      most = (count + 1) / 2;
      continue;
    }
    if (!status.ok()) {
      refused.insert(refused.end(), portions.begin(), portions.end());
    }
    left.erase(left.begin(), left.begin() + static_cast<ptrdiff_t>(count));
  }
}

// After an error nothing has changed that whoever computes it next does not
// write again.
absl::Status CudaExecutor::Compute(const SlotLease& slot,
                                   std::span<const Portion> portions) {
  const absl::Time started = clock_->Now();
  const kernels::cuda::BatchLayout layout = LayOut(portions);
  const absl::Status status = slot->Compute(
      layout,
      [&](const std::byte* output) { TakeResults(layout, portions, output); });
  if (!status.ok()) return status;
  const absl::Time finished = clock_->Now();
  metrics_->BatchTaken(static_cast<int64_t>(portions.size()),
                       ElementsOf(portions));
  metrics_->Compute(slot.device(), finished - started);
  for (const Portion& portion : portions) {
    if (!BlocksDone(*portion.task, portion.block_count)) continue;
    Finish(*portion.task, slot.device(), finished, *metrics_);
  }
  return absl::OkStatus();
}

void CudaExecutor::NoteFailure(const SlotLease& slot,
                               const absl::Status& status) {
  // Our own limit (MemoryPool) is no error of the device.
  if (absl::IsOutOfRange(status)) return;
  metrics_->DeviceError(slot.device());
  const std::optional<int> left =
      IsSticky(status) ? slots_->Retire(slot) : std::nullopt;
  observability::LogError(absl::StrCat(
      std::string(slot.device()), ": ", status.message(),
      left ? absl::StrCat("; the device is retired, ", *left, " left") : ""));
  if (!left) return;
  if (*left > 0) {
    Shrink();
  } else if (on_none_left_ != nullptr) {
    on_none_left_();
  }
}

// One more device has no slots any more. The last one's threads stay: they are
// those that the fallback computes on then.
void CudaExecutor::Shrink() {
  const int slots = slots_->slots_per_device();
  if (batcher_ != nullptr) batcher_->LoseExecutors(slots);
  surplus_threads_ += slots;
}

}  // namespace lossd::execution::cuda
