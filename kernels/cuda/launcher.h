// Starts the kernels. Links with CUDA only if LOSSD_CUDA is on.
#ifndef LOSSD_KERNELS_CUDA_LAUNCHER_H_
#define LOSSD_KERNELS_CUDA_LAUNCHER_H_

#include <string>

#include "kernels/cuda/batch_layout.h"

namespace lossd::kernels::cuda {

// The devices of this machine, numbered from 0.
struct DeviceCount {
  int count = 0;
  std::string why_none;  // set if count is 0
};
DeviceCount CountDevices();

// Launches kernels on one device: the one that is current whenever a member is
// called. Errors are numbers of the runtime, 0 for none. Launch() is
// thread-safe once Load() has returned.
class Launcher {
 public:
  // Loads every kernel on the device. Returns an error if the device cannot run
  // them, for instance if this build has no code for its architecture.
  int Load();

  // Computes every block of `batch`, which lies in device memory, on `stream`
  // (a cudaStream_t). Neither allocates nor waits. An empty batch launches
  // nothing. Errors of the kernels themselves come from later calls.
  int Launch(const PackedBatch& batch, void* stream) const;

 private:
  unsigned lookup_thread_blocks_ = 0;  // 0 if the device cannot look up
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_LAUNCHER_H_
