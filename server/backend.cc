#include "server/backend.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/named_set.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "server/execution/cuda/pool_lending.h"
#include "server/execution/cuda/pool_pinning.h"

namespace lossd {

namespace {

// In float32, logits and targets of this portion are 1 MiB. Copying that takes
// some 20 us on a bus of 50 GB/s, next to which a batch's fixed cost is small.
constexpr int64_t kLeastDevicePortion = int64_t{1} << 17;

// A copy of a batch's own takes its thread about 5 us. With four times as many
// elements it moves the bytes that hide that.
constexpr int64_t kDirectBatch = 4;  // D63

absl::StatusOr<std::unique_ptr<execution::cuda::SlotPool>> MakeSlots(
    const Config& config, const DeviceOpener& open) {
  auto devices = open(config.cuda_devices);
  if (!devices.ok()) return devices.status();
  execution::cuda::SlotPoolOptions options;
  options.slots_per_device = config.cuda_streams;
  options.max_pinned_bytes = static_cast<uint64_t>(config.max_pinned_bytes);
  // Devices that were asked for by their numbers must all work.
  options.need_every_device = !config.cuda_devices.empty();
  return execution::cuda::SlotPool::Create(*std::move(devices), options);
}

}  // namespace

absl::StatusOr<BackendChoice> ChooseBackend(const Config& config,
                                            const DeviceOpener& open) {
  BackendChoice choice;
  choice.instruction_set =
      kernels::cpu::FindInstructionSet(config.instruction_set);
  if (choice.instruction_set == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--instruction_set=", config.instruction_set, ": this machine has ",
        kernels::cpu::InstructionSetNames()));
  }
  choice.executors = config.cpu_threads;
  if (config.backend != Backend::kCpu) {
    auto slots = MakeSlots(config, open);
    if (slots.ok()) {
      choice.slots = *std::move(slots);
      choice.executors = choice.slots->free_slots();
      for (const std::string_view name : choice.slots->device_names()) {
        choice.names.emplace_back(name);
      }
    } else if (config.backend == Backend::kCuda) {
      return absl::Status(
          slots.status().code(),
          absl::StrCat("--backend=cuda: ", slots.status().message()));
    } else {
      choice.why_cpu = std::string(slots.status().message());
    }
  }
  choice.names.push_back("cpu/" + std::string(choice.instruction_set->name));
  return choice;
}

batching::BatcherOptions BatcherOptionsFor(const Config& config,
                                           const BackendChoice& choice) {
  const bool on_cpu = choice.slots == nullptr;
  batching::BatcherOptions options;
  options.max_batch_requests = config.max_batch_requests;
  options.max_batch_elements = config.max_batch_elements;
  options.max_queue_delay = config.max_queue_delay;
  options.executors = choice.executors;
  if (on_cpu) {
    options.max_inline_elements = config.max_inline_elements;
    return options;
  }
  options.max_inline_elements = 0;  // no RPC thread waits for a device
  options.min_portion_elements =
      std::min(kLeastDevicePortion, config.max_batch_elements);
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / kDirectBatch;
  options.max_direct_elements =
      kDirectBatch * std::min(config.max_batch_elements, kMost);
  return options;
}

Executors MakeExecutors(const Config& config, BackendChoice& choice,
                        observability::Metrics* metrics, const Clock* clock,
                        std::function<void()> on_none_left) {
  Executors executors;
  execution::CpuExecutorOptions cpu;
  cpu.threads = config.cpu_threads;
  cpu.instruction_set = choice.instruction_set;
  executors.cpu = std::make_unique<execution::CpuExecutor>(cpu, metrics, clock);
  if (choice.slots == nullptr) return executors;
  if (config.backend != Backend::kCuda) on_none_left = nullptr;
  executors.lending =
      std::make_unique<execution::cuda::PoolLending>(choice.slots.get());
  executors.pinning = std::make_unique<execution::cuda::PoolPinning>(
      choice.slots.get(), static_cast<uint64_t>(config.max_pinned_bytes));
  executors.cuda = std::make_unique<execution::cuda::CudaExecutor>(
      std::move(choice.slots), *executors.cpu, metrics, clock,
      std::move(on_none_left));
  return executors;
}

}  // namespace lossd
