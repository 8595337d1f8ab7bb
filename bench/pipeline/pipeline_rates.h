// How fast batches go from the host through a device and back: the measurement
// of `./dev gpu`, beside that of the kernels alone and of the whole server.
#ifndef LOSSD_BENCH_PIPELINE_PIPELINE_RATES_H_
#define LOSSD_BENCH_PIPELINE_PIPELINE_RATES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"
#include "server/base/clock.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

// What goes through: batches of one segment each, a cross-entropy with its
// gradient.
struct PipelineLoad {
  kernels::ElementType logits = kernels::ElementType::kFloat32;
  kernels::ElementType targets = kernels::ElementType::kFloat32;
  uint64_t elements = uint64_t{1} << 24;
  int slots = 4;  // streams, each with a thread
  // From when to when batches are counted, after each slot had one.
  absl::Duration time = absl::Seconds(1);
};

// Tensor bytes that go to the device and come back.
uint64_t BytesIn(const PipelineLoad& load);
uint64_t BytesOut(const PipelineLoad& load);

// Batches a second of slots as the executor uses them: each stages a batch from
// ordinary memory, waits for it, and copies the result to ordinary memory.
absl::StatusOr<double> StagedRate(Device& device, const PipelineLoad& load,
                                  const Clock& clock);

// The same from pinned memory to pinned memory: what the device and the bus
// allow.
absl::StatusOr<double> PinnedRate(Device& device, const PipelineLoad& load,
                                  const Clock& clock);

// Bytes a second of copies alone, of `bytes` each, one direction at a time or
// (per direction) both at once.
struct BusRates {
  double to_device = 0;
  double to_host = 0;
  double both_to_device = 0;
  double both_to_host = 0;
};
absl::StatusOr<BusRates> MeasureBus(Device& device, uint64_t bytes,
                                    absl::Duration time, const Clock& clock);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_BENCH_PIPELINE_PIPELINE_RATES_H_
