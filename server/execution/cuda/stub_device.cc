// Linked instead of cuda_device.cc if the build has no CUDA (LOSSD_CUDA=OFF).
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

absl::StatusOr<std::vector<std::unique_ptr<Device>>> OpenDevices(
    std::span<const int>) {
  return absl::UnimplementedError(
      "this build has no CUDA backend; ./dev gpu makes one that has");
}

}  // namespace lossd::execution::cuda
