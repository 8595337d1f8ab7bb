// Memory, test data and timing on a device, for gpu_bench.
#ifndef LOSSD_BENCH_KERNELS_GPU_DEVICE_H_
#define LOSSD_BENCH_KERNELS_GPU_DEVICE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace lossd::kernels::cuda {

// Ends the program with the call's error, if there is one.
void Check(cudaError_t error, const char* call);

struct FreeDevice {
  void operator()(std::byte* address) const;
};
using DeviceBytes = std::unique_ptr<std::byte, FreeDevice>;

// Returns null if the device has too little memory.
DeviceBytes AllocateOnDevice(uint64_t bytes);

struct FreePinned {
  void operator()(std::byte* data) const;
};
using PinnedBytes = std::unique_ptr<std::byte, FreePinned>;
PinnedBytes AllocatePinned(uint64_t bytes);

// Fills `count` logits with numbers from -8 to 8 that look random, and
// `bytes` bytes with bits that do.
void FillFloat32(std::byte* at, uint64_t count);
void FillBFloat16(std::byte* at, uint64_t count);
void FillBits(std::byte* at, uint64_t bytes);
// Fills `count` float32 targets with zeros and ones.
void FillFloat32Targets(std::byte* at, uint64_t count);

// Returns the seconds that the device takes for `work`, which submits to the
// stream: the minimum of several rounds, each long enough for the clock.
double SecondsOf(const std::function<void(cudaStream_t)>& work);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_BENCH_KERNELS_GPU_DEVICE_H_
