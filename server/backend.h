// Which backend computes.
#ifndef LOSSD_SERVER_BACKEND_H_
#define LOSSD_SERVER_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/base/clock.h"
#include "server/batching/options.h"
#include "server/config.h"
#include "server/execution/cuda/device.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd {

// Threads that compute: the flag, or one per core.
int CpuThreads(const Config& config);

// What --backend comes to on this machine. Chosen before anything is built: the
// metrics name it, and the batcher feeds as many executors as it has.
struct BackendChoice {
  std::vector<std::string> names;  // first choice first
  std::vector<std::unique_ptr<execution::cuda::Device>>
      devices;          // none: the CPU
  std::string why_cpu;  // why --backend=auto found no device; else empty
  int executors = 1;    // batches that it computes at once
};

// --backend=auto without a usable device is the CPU, and `why_cpu` says why.
// UNAVAILABLE, UNIMPLEMENTED or INVALID_ARGUMENT for a --backend=cuda that this
// machine or this build cannot have.
absl::StatusOr<BackendChoice> ChooseBackend(const Config& config);

// How the batcher feeds that choice.
batching::BatcherOptions BatcherOptionsFor(const Config& config,
                                           const BackendChoice& choice);

// The executors of a choice. `first` takes the batches; the CPU's is always
// there, to take over from a device.
struct Executors {
  std::unique_ptr<execution::Executor> cpu;
  std::unique_ptr<execution::Executor> cuda;  // or null; borrows `cpu`
  execution::Executor& first() const { return cuda ? *cuda : *cpu; }
};

// Takes the devices of `choice`. `metrics` and `clock` are borrowed. Fails
// where a device has no room for its slots.
absl::StatusOr<Executors> MakeExecutors(const Config& config,
                                        BackendChoice& choice,
                                        observability::Metrics* metrics,
                                        const Clock* clock);

}  // namespace lossd

#endif  // LOSSD_SERVER_BACKEND_H_
