// Opening the devices of this machine.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_OPEN_H_
#define LOSSD_SERVER_EXECUTION_CUDA_OPEN_H_

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

// The devices with these numbers, in this order; without numbers all of the
// machine that can run the kernel. At least one, or
//   UNIMPLEMENTED     this build links the stub instead of CUDA
//   UNAVAILABLE       no driver, no device, or one that does not answer or that
//                     this build has no code for
//   INVALID_ARGUMENT  a number that no device has, or one given twice
// Whoever calls decides what that means: fall back, or give up.
absl::StatusOr<std::vector<std::unique_ptr<Device>>> OpenDevices(
    std::span<const int> ids);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_OPEN_H_
