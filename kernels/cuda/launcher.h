// Starts the kernel. Links with CUDA only where LOSSD_CUDA is on.
#ifndef LOSSD_KERNELS_CUDA_LAUNCHER_H_
#define LOSSD_KERNELS_CUDA_LAUNCHER_H_

#include <string>

#include "kernels/cuda/batch_layout.h"

namespace lossd::kernels::cuda {

// The devices of this machine, numbered from 0; none: `why` says why.
int CountDevices(std::string& why);

// Computes every block of `batch`, which lies in device memory, on `stream` (a
// cudaStream_t) of the current device. Neither allocates nor waits. An empty
// batch launches nothing. Returns the runtime's error number, 0 for none;
// errors of the kernel itself come from later calls.
int LaunchBlocks(const PackedBatch& batch, void* stream);

// Loads the kernel on the current device: 0, or why the device cannot run it,
// such as an architecture that this build has no code for.
int LoadKernel();

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_LAUNCHER_H_
