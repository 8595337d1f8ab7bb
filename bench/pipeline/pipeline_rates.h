// Measures how fast batches go from the host through a device and back.
// `./dev gpu` runs it, beside the kernels alone and the whole server.
#ifndef LOSSD_BENCH_PIPELINE_PIPELINE_RATES_H_
#define LOSSD_BENCH_PIPELINE_PIPELINE_RATES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"
#include "server/base/clock.h"
#include "server/execution/cuda/device.h"

namespace lossd::bench {

// The load: batches of one segment each, a cross-entropy with its gradient.
struct PipelineLoad {
  kernels::ElementType logits = kernels::ElementType::kFloat32;
  kernels::ElementType targets = kernels::ElementType::kFloat32;
  uint64_t elements = uint64_t{1} << 24;
  int slots = 4;  // streams, each with a thread
  // How long batches are counted, after each slot has computed one.
  absl::Duration time = absl::Seconds(1);
};

// Return the tensor bytes that go to the device, and those that come back.
uint64_t BytesIn(const PipelineLoad& load);
uint64_t BytesOut(const PipelineLoad& load);

// Returns the batches a second of slots that work as the executor's do: each
// stages a batch from pageable memory, waits for it, and copies the result to
// pageable memory. Errors are the device's.
absl::StatusOr<double> StagedRate(execution::cuda::Device& device,
                                  const PipelineLoad& load, const Clock& clock);

// Returns the batches a second from pinned memory to pinned memory, which the
// device and the bus allow. Errors are the device's.
absl::StatusOr<double> PinnedRate(execution::cuda::Device& device,
                                  const PipelineLoad& load, const Clock& clock);

// Bytes a second of copies: one direction alone, or each one of both at once.
struct BusRates {
  double to_device = 0;
  double to_host = 0;
  double both_to_device = 0;
  double both_to_host = 0;
};
// Measures copies of `bytes` bytes each. Errors are the device's.
absl::StatusOr<BusRates> MeasureBus(execution::cuda::Device& device,
                                    uint64_t bytes, absl::Duration time,
                                    const Clock& clock);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_PIPELINE_PIPELINE_RATES_H_
