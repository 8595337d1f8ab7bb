// Which backend computes.
#ifndef LOSSD_SERVER_BACKEND_H_
#define LOSSD_SERVER_BACKEND_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/cpu/cpu_kernel.h"
#include "server/base/clock.h"
#include "server/base/device_lending.h"
#include "server/base/host_pinning.h"
#include "server/batching/options.h"
#include "server/config.h"
#include "server/execution/cuda/device.h"
#include "server/execution/cuda/slot_pool.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd {

// The backend chosen for --backend on this machine. It is chosen before
// anything is built, because the metrics name it and the batcher feeds as many
// executors as it has.
struct BackendChoice {
  std::vector<std::string> names;  // first choice first
  // The slots of the devices that are used; null if the CPU computes.
  std::unique_ptr<execution::cuda::SlotPool> slots;
  std::string why_cpu;  // why --backend=auto found no device; else empty
  int executors = 1;    // batches that are computed at once
  const kernels::cpu::InstructionSet* instruction_set = nullptr;  // the CPU's
};

// The type of execution::cuda::OpenDevices(); tests pass functions of their
// own.
using DeviceOpener = std::function<
    absl::StatusOr<std::vector<std::unique_ptr<execution::cuda::Device>>>(
        std::span<const int> ids)>;

// Chooses the backend. The settings are complete (WithDefaults()).
// --backend=auto without a usable device chooses the CPU, and `why_cpu` says
// why. Errors: UNAVAILABLE, UNIMPLEMENTED or INVALID_ARGUMENT for a
// --backend=cuda or an --instruction_set that this machine or this build cannot
// have;
// RESOURCE_EXHAUSTED and others if a device lacks memory.
absl::StatusOr<BackendChoice> ChooseBackend(const Config& config,
                                            const DeviceOpener& open);

// Returns the options with which the batcher feeds that choice.
batching::BatcherOptions BatcherOptionsFor(const Config& config,
                                           const BackendChoice& choice);

// The executors of a choice. first() takes the batches. The CPU's executor
// always exists, to take over from a device.
struct Executors {
  std::unique_ptr<execution::Executor> cpu;
  std::unique_ptr<execution::Executor> cuda;  // or null; borrows `cpu`
  // Opens memory that clients lend; or null. Borrows from `cuda`.
  std::unique_ptr<DeviceLending> lending;
  // Pins shared memory for the GPUs; or null. Borrows from `cuda`.
  std::unique_ptr<HostPinning> pinning;
  execution::Executor& first() const { return cuda ? *cuda : *cpu; }
};

// Builds the executors and takes the slots of `choice`. `metrics` and `clock`
// are borrowed. `on_none_left` is called once, on an executor's thread, when
// all devices of --backend=cuda are lost: the CPU computes the accepted
// requests, but this is no longer the server that was asked for. --backend=auto
// goes on with the CPU.
Executors MakeExecutors(const Config& config, BackendChoice& choice,
                        observability::Metrics* metrics, const Clock* clock,
                        std::function<void()> on_none_left);

}  // namespace lossd

#endif  // LOSSD_SERVER_BACKEND_H_
