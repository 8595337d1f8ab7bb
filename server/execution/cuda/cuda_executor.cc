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
#include "server/execution/task_completion.h"
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

// Counts come from the host where all that is counted lies there.
bool CountsOnTheDevice(const Task& task) {
  return task.segment.targets.on_device ||
         task.segment.weights.tensor.on_device;
}

// Leaves in the batch what can be computed, or is counted by its device first.
void CountAsNeeded(Batch& batch) {
  const auto stays = [&batch](const Portion& portion) {
    return portion.task->phase == Task::Phase::kComputing ||
           CountsOnTheDevice(*portion.task) || CountOnTheCpu(portion, batch);
  };
  auto& portions = batch.portions;
  portions.erase(std::stable_partition(portions.begin(), portions.end(), stays),
                 portions.end());
}

// The devices that have tensors of the batch, once each or more often.
std::vector<int> DevicesOf(const Batch& batch) {
  std::vector<int> devices;
  for (const Portion& portion : batch.portions) {
    const int device = portion.task->segment.device;
    if (device != kernels::kHost) devices.push_back(device);
  }
  return devices;
}

// Less of it may go.
bool IsTooMuch(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsOutOfRange(status);
}

// Why nobody computes a request whose tensors are on a device that could not.
absl::Status WhyDropped(std::string_view device, const absl::Status& why) {
  const std::string name(device);
  if (IsTooMuch(why)) {
    return absl::UnavailableError(absl::StrCat(
        name, " has too little memory for the request: ", why.message()));
  }
  return absl::InternalError(absl::StrCat(name, ": ", why.message()));
}

// Leaves to `refused` what another can compute.
void Refuse(std::span<const Portion> portions, std::string_view device,
            const absl::Status& why, std::vector<Portion>& refused) {
  for (const Portion& portion : portions) {
    if (portion.task->segment.device == kernels::kHost) {
      refused.push_back(portion);
    } else {
      portion.task->OnDropped(WhyDropped(device, why));
    }
  }
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
  while (true) {
    DropOfRetired(batch);
    if (batch.portions.empty()) break;
    const std::vector<int> devices = DevicesOf(batch);
    const SlotLease slot = slots_->Acquire(devices);
    if (slot.held()) {
      RunOn(slot, batch, refused);
    } else if (devices.empty()) {
      break;  // no device is left
    }
  }
  batch.portions.insert(batch.portions.end(), refused.begin(), refused.end());
  if (batch.portions.empty()) return;
  batch.elements = ElementsOf(batch.portions);
  fallback_.Run(std::move(batch));
}

void CudaExecutor::DropOfRetired(Batch& batch) {
  auto& left = batch.portions;
  const auto gone =
      std::stable_partition(left.begin(), left.end(), [this](const auto& one) {
        const int device = one.task->segment.device;
        return device == kernels::kHost || !slots_->retired(device);
      });
  for (auto one = gone; one != left.end(); ++one) {
    const Device& device = slots_->device(one->task->segment.device);
    one->task->OnDropped(absl::UnavailableError(absl::StrCat(
        std::string(device.name()), ", which has the tensors, is lost")));
  }
  left.erase(gone, left.end());
}

void CudaExecutor::RunOn(const SlotLease& slot, Batch& batch,
                         std::vector<Portion>& refused) {
  auto& left = batch.portions;
  const auto others =
      std::stable_partition(left.begin(), left.end(), [&](const auto& one) {
        const int device = one.task->segment.device;
        return device == kernels::kHost || device == slot.number();
      });
  auto here = static_cast<size_t>(others - left.begin());
  for (size_t most = here; here > 0;) {
    const size_t count = std::min(most, here);
    const std::span<const Portion> portions(left.data(), count);
    const absl::Status status = Compute(slot, portions);
    if (!status.ok()) NoteFailure(slot, status);
    if (IsSticky(status)) return;
    if (IsTooMuch(status) && count > 1) {
      most = (count + 1) / 2;
      continue;
    }
    if (!status.ok()) Refuse(portions, slot.device(), status, refused);
    left.erase(left.begin(), left.begin() + static_cast<ptrdiff_t>(count));
    here -= count;
  }
}

absl::Status CudaExecutor::Count(const SlotLease& slot,
                                 std::span<const Portion> portions) {
  std::vector<Task*> tasks;
  std::vector<kernels::Segment> segments;
  for (const Portion& portion : portions) {
    if (portion.task->phase != Task::Phase::kCounting) continue;
    tasks.push_back(portion.task);
    kernels::Segment& counted = segments.emplace_back(portion.task->segment);
    counted.gradient = counted.losses = nullptr;
    counted.gradient_on_device = false;
  }
  if (tasks.empty()) return absl::OkStatus();
  std::vector<kernels::cuda::BatchItem> items;
  items.reserve(segments.size());
  for (const kernels::Segment& counted : segments)
    items.push_back({&counted, 0});
  const kernels::cuda::BatchLayout layout(items);
  return slot->Compute(layout, [&](const std::byte* output) {
    for (size_t k = 0; k < tasks.size(); ++k) {
      const auto partials = layout.Partials(k, output);
      std::copy(partials.begin(), partials.end(), tasks[k]->partials.begin());
      BlocksDone(*tasks[k], partials.size());
      BeginComputing(*tasks[k]);
    }
  });
}

// After an error nothing has changed that whoever computes it next does not
// write again, but that it is counted.
absl::Status CudaExecutor::Compute(const SlotLease& slot,
                                   std::span<const Portion> portions) {
  const absl::Time started = clock_->Now();
  absl::Status status = Count(slot, portions);
  if (!status.ok()) return status;
  const kernels::cuda::BatchLayout layout = LayOut(portions);
  status = slot->Compute(layout, [&](const std::byte* output) {
    TakeResults(layout, portions, output);
  });
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
