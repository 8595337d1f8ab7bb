// Memory of another process, through CUDA's IPC.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_CUDA_IPC_H_
#define LOSSD_SERVER_EXECUTION_CUDA_CUDA_IPC_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

// Both are Device::OpenIpc() and CloseIpc() of `device`, which is the thread's
// current one. The memory lies on that device: another GPU's would be read
// through whatever links the two (D40).
absl::StatusOr<DeviceMemory> OpenIpcMemory(const IpcHandle& handle, int device);
absl::Status CloseIpcMemory(DeviceMemory memory);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_CUDA_IPC_H_
