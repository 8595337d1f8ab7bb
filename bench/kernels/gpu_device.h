// What gpu_bench asks of a device.
#ifndef LOSSD_BENCH_KERNELS_GPU_DEVICE_H_
#define LOSSD_BENCH_KERNELS_GPU_DEVICE_H_

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace lossd::kernels::cuda {

// Ends the program with the call's error: a benchmark has nothing to go on
// with.
void Check(cudaError_t error, const char* call);

struct FreeDevice {
  void operator()(std::byte* address) const;
};
using DeviceBytes = std::unique_ptr<std::byte, FreeDevice>;

// Null where the device has no room.
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
// float32 zeros and ones.
void FillFloat32Targets(std::byte* at, uint64_t count);

// Seconds of one `work`, which it hands to the stream: the least of several
// rounds, each long enough for the clock.
double SecondsOf(const std::function<void(cudaStream_t)>& work);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_BENCH_KERNELS_GPU_DEVICE_H_
