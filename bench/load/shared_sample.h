// A sample request whose tensors lie in shared memory.
#ifndef LOSSD_BENCH_LOAD_SHARED_SAMPLE_H_
#define LOSSD_BENCH_LOAD_SHARED_SAMPLE_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/tensor/cuda_driver.h"
#include "client/cpp/tensor/shared_memory.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

// A sample request (sample_request.h) whose tensors and gradient lie in a
// region of its own: in the host's memory or, with a driver, in a GPU's. The
// driver is borrowed. Not thread-safe.
class SharedSample {
 public:
  static absl::StatusOr<SharedSample> Make(
      client::SharedMemory& memory, const client::CudaDriver* driver,
      const v1::ComputeLossRequest& sample);

  // Returns the request, which names the region's bytes. It is valid as long as
  // this object lives.
  const v1::ComputeLossRequest& request() const { return request_; }

  // Returns a reply with the gradient copied into it from the region, as if it
  // had been sent.
  absl::StatusOr<std::string> WithGradient(const std::string& reply) const;

 private:
  explicit SharedSample(const client::CudaDriver* driver) : driver_(driver) {}
  absl::Status Allocate(client::SharedMemory& memory, size_t bytes);
  absl::Status Write(size_t offset, const std::string& data);

  const client::CudaDriver* driver_;
  std::optional<client::CudaMemory> on_device_;  // outlives region_
  std::unique_ptr<client::SharedRegion> region_;
  v1::ComputeLossRequest request_;
};

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_SHARED_SAMPLE_H_
