#include "server/execution/cuda/cuda_executor.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "kernels/cpu/sampler.h"
#include "kernels/cuda/batch_layout.h"
#include "server/base/status_macros.h"
#include "server/batching/decision.h"
#include "server/execution/task_completion.h"
#include "server/observability/log.h"

namespace lossd::execution::cuda {

using batching::Batch;
using batching::Portion;
using batching::Task;

namespace {

using Portions = std::vector<Portion>;

PortionView ViewOf(const Portion& portion) {
  const Task& task = *portion.task;
  return {.device = task.segment.device,
          .counted = task.phase == Task::Phase::kComputing,
          .counts_on_device = task.segment.targets.on_device ||
                              task.segment.weights.tensor.on_device};
}

std::vector<PortionView> ViewsOf(const Portions& portions) {
  std::vector<PortionView> views;
  views.reserve(portions.size());
  for (const Portion& portion : portions) views.push_back(ViewOf(portion));
  return views;
}

Portions Pick(const Portions& portions, std::span<const size_t> indices) {
  Portions picked;
  picked.reserve(indices.size());
  for (const size_t k : indices) picked.push_back(portions[k]);
  return picked;
}

// Counts a portion on the host. Returns whether its blocks can be computed now:
// not if others still count blocks of its task, nor if those blocks were put
// back into the queue. Counting reads targets and weights, which staging reads
// next.
bool CountOnTheCpu(const Portion& portion, Batch& batch) {
  Task& task = *portion.task;
  const uint64_t count = portion.block_count;
  if (batching::IsIndivisible(task.segment)) {
    std::vector<kernels::BlockPartial> counts(count);
    kernels::cpu::CountBlocks(task.segment, 0, counts);
    BeginComputing(task, kernels::Combine(counts));
    return true;
  }
  const bool whole = count == task.partials.size();
  kernels::cpu::CountBlocks(
      task.segment, portion.first_block,
      std::span(task.partials).subspan(portion.first_block, count));
  if (!BlocksDone(task, count)) return false;
  BeginComputing(task);
  if (!whole) batch.PutBack(&task);
  return whole;
}

// Counts what the routing wants counted. Returns the portions that the devices
// compute, those that can be computed now among them.
Portions CountOnHost(const Portions& portions, const Routing& routing,
                     Batch& batch) {
  std::vector<size_t> left = routing.ForDevices();
  for (const size_t k : routing.count_on_host) {
    if (CountOnTheCpu(portions[k], batch)) left.push_back(k);
  }
  std::sort(left.begin(), left.end());
  return Pick(portions, left);
}

// Returns whether a smaller batch may succeed.
bool IsTooMuch(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsOutOfRange(status);
}

// The status of a request whose tensors are on a device that failed with `why`.
absl::Status WhyDropped(std::string_view device, const absl::Status& why) {
  const std::string name(device);
  if (IsTooMuch(why)) {
    return absl::UnavailableError(absl::StrCat(
        name, " has too little memory for the request: ", why.message()));
  }
  return absl::InternalError(absl::StrCat(name, ": ", why.message()));
}

// Drops the portions whose tensors are on a device, which failed with `why`,
// and appends the others to `fallback`.
void Refuse(std::span<const Portion> portions, std::string_view device,
            const absl::Status& why, Portions& fallback) {
  for (const Portion& portion : portions) {
    if (portion.task->segment.device == kernels::kHost) {
      fallback.push_back(portion);
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

// Takes the results of all portions. Returns the sums of those whose tasks keep
// no partials.
std::vector<kernels::Totals> TakeResults(
    const kernels::cuda::BatchLayout& layout, std::span<const Portion> portions,
    const std::byte* output) {
  std::vector<kernels::Totals> totals(portions.size());
  for (size_t k = 0; k < portions.size(); ++k) {
    Task& task = *portions[k].task;
    const auto partials = layout.Partials(k, output);
    if (batching::IsIndivisible(task.segment)) {
      totals[k] = kernels::Combine(partials);
    } else {
      std::copy(partials.begin(), partials.end(),
                task.partials.begin() +
                    static_cast<ptrdiff_t>(portions[k].first_block));
    }
    layout.CopyResults(k, output);
  }
  return totals;
}

// Samples a computed portion for its task's job. The results are in the task's
// memory, and so is what they were computed from.
void SampleForJob(const Portion& portion, observability::Metrics& metrics) {
  const Task& task = *portion.task;
  if (!IsSampled(task)) return;
  metrics.jobs().Record(
      task.job, kernels::cpu::Sampler(task.segment, task.blocks_before)
                    .SampleBlocks(portion.first_block, portion.block_count));
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

// A thread without a slot must not take a batch: batches left in the queue can
// still grow and expire.
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
  Portions left;
  Portions fallback;
  // Rows are added up by the CPU, which therefore computes them.
  for (const Portion& portion : batch.portions) {
    const bool rows = kernels::HasRows(portion.task->segment.options);
    (rows ? fallback : left).push_back(portion);
  }
  while (!left.empty()) {
    const Routing routing = Route(ViewsOf(left), DeviceViews());
    for (const size_t k : routing.drop) DropLost(left[k]);
    for (const size_t k : routing.fallback) fallback.push_back(left[k]);
    if (!routing.count_on_host.empty()) {
      left = CountOnHost(left, routing, batch);
      continue;
    }
    Leftover leftover = ComputeShare(left, routing);
    left = std::move(leftover.to_route);
    fallback.insert(fallback.end(), leftover.fallback.begin(),
                    leftover.fallback.end());
  }
  if (fallback.empty()) return;
  batch.portions.assign(fallback.begin(), fallback.end());
  batch.elements = ElementsOf(batch.portions);
  fallback_.Run(std::move(batch));
}

std::vector<DeviceView> CudaExecutor::DeviceViews() const {
  const int count = slots_->device_count();
  std::vector<DeviceView> views;
  views.reserve(static_cast<size_t>(count));
  for (int number = 0; number < count; ++number) {
    views.push_back({.retired = slots_->retired(number)});
  }
  return views;
}

void CudaExecutor::DropLost(const Portion& portion) {
  const Device& device = slots_->device(portion.task->segment.device);
  portion.task->OnDropped(absl::UnavailableError(absl::StrCat(
      std::string(device.name()), ", which has the tensors, is lost")));
}

CudaExecutor::Leftover CudaExecutor::ComputeShare(const Portions& portions,
                                                  const Routing& routing) {
  const std::vector<size_t> all = routing.ForDevices();
  if (all.empty()) return {};
  const SlotLease slot = slots_->Acquire(routing.WantedDevices());
  // No slot: the wanted devices were retired after the routing.
  if (!slot.held()) return {.to_route = Pick(portions, all), .fallback = {}};
  const SlotPart part = PartOf(routing, slot.number());
  Leftover leftover = ComputeOn(slot, Pick(portions, part.here));
  for (const size_t k : part.elsewhere) {
    leftover.to_route.push_back(portions[k]);
  }
  return leftover;
}

CudaExecutor::Leftover CudaExecutor::ComputeOn(
    const SlotLease& slot, std::span<const Portion> portions) {
  Leftover leftover;
  for (size_t most = portions.size(); !portions.empty();) {
    const size_t count = std::min(most, portions.size());
    const std::span<const Portion> now = portions.first(count);
    const absl::Status status = Compute(slot, now);
    if (!status.ok()) NoteFailure(slot, status);
    if (IsSticky(status)) break;
    if (IsTooMuch(status) && count > 1) {
      most = (count + 1) / 2;
      continue;
    }
    if (!status.ok()) Refuse(now, slot.device(), status, leftover.fallback);
    portions = portions.subspan(count);
  }
  leftover.to_route.assign(portions.begin(), portions.end());
  return leftover;
}

absl::Status CudaExecutor::Count(const SlotLease& slot,
                                 std::span<const Portion> portions) {
  std::vector<Task*> tasks;
  std::vector<kernels::Segment> segments;
  for (const Portion& portion : portions) {
    if (portion.task->phase != Task::Phase::kCounting) continue;
    tasks.push_back(portion.task);
    kernels::Segment& counted = segments.emplace_back(portion.task->segment);
    counted.gradient = counted.second_derivative = counted.losses = nullptr;
    counted.gradient_on_device = counted.gradient_pinned = false;
    counted.second_derivative_on_device = false;
    counted.second_derivative_pinned = false;
  }
  if (tasks.empty()) return absl::OkStatus();
  std::vector<kernels::cuda::BatchItem> items;
  items.reserve(segments.size());
  for (const kernels::Segment& counted : segments)
    items.push_back({&counted, 0});
  const kernels::cuda::BatchLayout layout(items);
  return slot->Compute(layout, [&](const std::byte* output) {
    for (size_t k = 0; k < tasks.size(); ++k) {
      BeginComputing(*tasks[k], kernels::Combine(layout.Partials(k, output)));
    }
  });
}

absl::Status CudaExecutor::Compute(const SlotLease& slot,
                                   std::span<const Portion> portions) {
  const absl::Time started = clock_->Now();
  RETURN_IF_ERROR(Count(slot, portions));
  const kernels::cuda::BatchLayout layout = LayOut(portions);
  std::vector<kernels::Totals> totals;
  RETURN_IF_ERROR(slot->Compute(layout, [&](const std::byte* output) {
    totals = TakeResults(layout, portions, output);
  }));
  const absl::Time finished = clock_->Now();
  metrics_->RecordBatch(static_cast<int64_t>(portions.size()),
                        ElementsOf(portions));
  metrics_->RecordCompute(slot.device(), finished - started);
  for (size_t k = 0; k < portions.size(); ++k) {
    Task& task = *portions[k].task;
    SampleForJob(portions[k], *metrics_);
    if (!BlocksDone(task, portions[k].block_count)) continue;
    if (!batching::IsIndivisible(task.segment)) {
      totals[k] = kernels::Combine(task.partials);
    }
    Finish(task, totals[k], slot.device(), finished, *metrics_);
  }
  return absl::OkStatus();
}

void CudaExecutor::NoteFailure(const SlotLease& slot,
                               const absl::Status& status) {
  // OUT_OF_RANGE is MemoryPool's own limit, no error of the device.
  if (absl::IsOutOfRange(status)) return;
  metrics_->RecordDeviceError(slot.device());
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

// Called for every retired device but the last: its threads stay, because the
// fallback computes on them then.
void CudaExecutor::Shrink() {
  const int slots = slots_->slots_per_device();
  if (batcher_ != nullptr) batcher_->LoseExecutors(slots);
  surplus_threads_ += slots;
}

}  // namespace lossd::execution::cuda
