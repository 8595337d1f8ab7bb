// Which backend computes.
#ifndef LOSSD_SERVER_BACKEND_H_
#define LOSSD_SERVER_BACKEND_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/base/device_lending.h"
#include "server/batching/options.h"
#include "server/config.h"
#include "server/execution/cuda/device.h"
#include "server/execution/cuda/slot_pool.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd {

// Threads that compute: the flag, or one per core.
int CpuThreads(const Config& config);

// What --backend comes to on this machine. Chosen before anything is built: the
// metrics name it, and the batcher feeds as many executors as it has.
struct BackendChoice {
  std::vector<std::string> names;  // first choice first
  // Of the devices that are used; null: the CPU.
  std::unique_ptr<execution::cuda::SlotPool> slots;
  std::string why_cpu;  // why --backend=auto found no device; else empty
  int executors = 1;    // batches that it computes at once
};

// execution::cuda::OpenDevices(), or a test's.
using DeviceOpener = std::function<
    absl::StatusOr<std::vector<std::unique_ptr<execution::cuda::Device>>>(
        std::span<const int> ids)>;

// --backend=auto without a usable device is the CPU, and `why_cpu` says why.
// UNAVAILABLE, UNIMPLEMENTED or INVALID_ARGUMENT for a --backend=cuda that this
// machine or this build cannot have; RESOURCE_EXHAUSTED and others where a
// device does not get what it needs.
absl::StatusOr<BackendChoice> ChooseBackend(const Config& config,
                                            const DeviceOpener& open);

// How the batcher feeds that choice.
batching::BatcherOptions BatcherOptionsFor(const Config& config,
                                           const BackendChoice& choice);

// The executors of a choice. `first` takes the batches; the CPU's is always
// there, to take over from a device.
struct Executors {
  std::unique_ptr<execution::Executor> cpu;
  std::unique_ptr<execution::Executor> cuda;  // or null; borrows `cpu`
  // For memory that clients lend; or null. Borrows from `cuda`.
  std::unique_ptr<DeviceLending> devices;
  execution::Executor& first() const { return cuda ? *cuda : *cpu; }
};

// Takes the slots of `choice`. `metrics` and `clock` are borrowed.
// `on_none_left` is called once, on an executor's thread, when all devices of
// --backend=cuda are lost: what was accepted is computed by the CPU, but this
// is no longer the server that was asked for. --backend=auto goes on with the
// CPU.
Executors MakeExecutors(const Config& config, BackendChoice& choice,
                        observability::Metrics* metrics, const Clock* clock,
                        std::function<void()> on_none_left);

}  // namespace lossd

#endif  // LOSSD_SERVER_BACKEND_H_
