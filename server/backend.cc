#include "server/backend.h"

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "server/execution/cpu_executor.h"

namespace lossd {

int CpuThreads(const Config& config) {
  if (config.cpu_threads > 0) return config.cpu_threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

absl::StatusOr<std::string> ChooseBackend(const Config& config) {
  if (config.backend == Backend::kCuda) {
    return absl::UnimplementedError(
        "--backend=cuda: CUDA is not in this build");
  }
  return absl::StrCat("cpu/", kernels::cpu::BestInstructionSet().name.data());
}

absl::StatusOr<std::unique_ptr<execution::Executor>> MakeExecutor(
    const Config& config, observability::Metrics* metrics, const Clock* clock) {
  execution::CpuExecutorOptions options;
  options.threads = CpuThreads(config);
  return std::make_unique<execution::CpuExecutor>(options, metrics, clock);
}

}  // namespace lossd
