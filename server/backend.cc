#include "server/backend.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "server/execution/cpu_executor.h"
#include "server/execution/cuda/cuda_executor.h"
#include "server/execution/cuda/open.h"

namespace lossd {

int CpuThreads(const Config& config) {
  if (config.cpu_threads > 0) return config.cpu_threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

absl::StatusOr<BackendChoice> ChooseBackend(const Config& config) {
  BackendChoice choice;
  choice.executors = CpuThreads(config);
  if (config.backend != Backend::kCpu) {
    auto devices = execution::cuda::OpenDevices(config.cuda_devices);
    if (devices.ok()) {
      choice.devices = *std::move(devices);
    } else if (config.backend == Backend::kCuda) {
      return absl::Status(
          devices.status().code(),
          absl::StrCat("--backend=cuda: ", devices.status().message()));
    } else {
      choice.why_cpu = std::string(devices.status().message());
    }
  }
  for (const auto& device : choice.devices)
    choice.names.emplace_back(device->name());
  choice.names.push_back("cpu/" +
                         std::string(kernels::cpu::BestInstructionSet().name));
  if (!choice.devices.empty()) {
    choice.executors =
        config.cuda_streams * static_cast<int>(choice.devices.size());
  }
  return choice;
}

batching::BatcherOptions BatcherOptionsFor(const Config& config,
                                           const BackendChoice& choice) {
  const bool on_cpu = choice.devices.empty();
  batching::BatcherOptions options;
  options.max_batch_requests = config.max_batch_requests;
  options.max_batch_elements = config.max_batch_elements;
  options.max_queue_delay = config.max_queue_delay;
  options.executors = choice.executors;
  // A device computes whole tasks, and no RPC thread waits for it.
  options.split_tasks = on_cpu;
  options.max_inline_elements = on_cpu ? config.max_inline_elements : 0;
  return options;
}

absl::StatusOr<Executors> MakeExecutors(const Config& config,
                                        BackendChoice& choice,
                                        observability::Metrics* metrics,
                                        const Clock* clock) {
  Executors executors;
  execution::CpuExecutorOptions cpu;
  cpu.threads = CpuThreads(config);
  executors.cpu = std::make_unique<execution::CpuExecutor>(cpu, metrics, clock);
  if (choice.devices.empty()) return executors;
  auto cuda = execution::cuda::CudaExecutor::Create(
      {.slots_per_device = config.cuda_streams}, std::move(choice.devices),
      *executors.cpu, metrics, clock);
  if (!cuda.ok()) return cuda.status();
  executors.cuda = *std::move(cuda);
  return executors;
}

}  // namespace lossd
