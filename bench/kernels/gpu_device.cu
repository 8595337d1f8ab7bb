#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "bench/kernels/gpu_device.h"

namespace lossd::kernels::cuda {
namespace {

constexpr int kThreads = 256;

// Returns a number that looks random: the finalizer of MurmurHash3.
__device__ uint32_t Hash(uint64_t index) {
  uint32_t bits = static_cast<uint32_t>(index) ^
                  static_cast<uint32_t>(index >> 32) * 0x9e3779b9u;
  bits ^= bits >> 16;
  bits *= 0x85ebca6bu;
  bits ^= bits >> 13;
  bits *= 0xc2b2ae35u;
  return bits ^ bits >> 16;
}

__device__ float LogitOf(uint64_t index) {
  return static_cast<float>(Hash(index)) * 0x1p-28f - 8.0f;
}

enum class Content { kFloat32, kBFloat16, kBits, kTargets };

template <Content kContent>
__global__ void Fill(std::byte* at, uint64_t count) {
  const uint64_t step = uint64_t{gridDim.x} * blockDim.x;
  for (uint64_t i = uint64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count;
       i += step) {
    if constexpr (kContent == Content::kFloat32) {
      reinterpret_cast<float*>(at)[i] = LogitOf(i);
    } else if constexpr (kContent == Content::kBFloat16) {
      reinterpret_cast<uint16_t*>(at)[i] =
          static_cast<uint16_t>(__float_as_uint(LogitOf(i)) >> 16);
    } else if constexpr (kContent == Content::kBits) {
      reinterpret_cast<uint8_t*>(at)[i] = static_cast<uint8_t>(Hash(i));
    } else {
      reinterpret_cast<float*>(at)[i] = (Hash(i) & 1u) != 0 ? 1.0f : 0.0f;
    }
  }
}

template <Content kContent>
void FillWith(std::byte* at, uint64_t count) {
  const uint64_t blocks =
      std::min<uint64_t>((count + kThreads - 1) / kThreads, 65536);
  Fill<kContent><<<static_cast<unsigned>(blocks), kThreads>>>(at, count);
  Check(cudaGetLastError(), "fill");
  Check(cudaDeviceSynchronize(), "fill");
}

class Timer {
 public:
  Timer() {
    Check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
          "cudaStreamCreate");
    Check(cudaEventCreate(&start_), "cudaEventCreate");
    Check(cudaEventCreate(&end_), "cudaEventCreate");
  }
  ~Timer() {
    cudaEventDestroy(end_);
    cudaEventDestroy(start_);
    cudaStreamDestroy(stream_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  double SecondsOf(const std::function<void(cudaStream_t)>& work, int turns) {
    Check(cudaEventRecord(start_, stream_), "cudaEventRecord");
    for (int k = 0; k < turns; ++k) work(stream_);
    Check(cudaEventRecord(end_, stream_), "cudaEventRecord");
    Check(cudaEventSynchronize(end_), "the measured work");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, start_, end_),
          "cudaEventElapsedTime");
    return 1e-3 * static_cast<double>(milliseconds) / turns;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t start_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

}  // namespace

void Check(cudaError_t error, const char* call) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "gpu_bench: %s: %s: %s\n", call, cudaGetErrorName(error),
               cudaGetErrorString(error));
  std::exit(1);
}

void FreeDevice::operator()(std::byte* address) const { cudaFree(address); }
void FreePinned::operator()(std::byte* data) const { cudaFreeHost(data); }

DeviceBytes AllocateOnDevice(uint64_t bytes) {
  void* address = nullptr;
  const cudaError_t error = cudaMalloc(&address, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // else the next call would report this error
    return nullptr;
  }
  Check(error, "cudaMalloc");
  return DeviceBytes(static_cast<std::byte*>(address));
}

PinnedBytes AllocatePinned(uint64_t bytes) {
  void* data = nullptr;
  Check(cudaHostAlloc(&data, bytes, cudaHostAllocDefault), "cudaHostAlloc");
  return PinnedBytes(static_cast<std::byte*>(data));
}

void FillFloat32(std::byte* at, uint64_t count) {
  FillWith<Content::kFloat32>(at, count);
}
void FillBFloat16(std::byte* at, uint64_t count) {
  FillWith<Content::kBFloat16>(at, count);
}
void FillBits(std::byte* at, uint64_t bytes) {
  FillWith<Content::kBits>(at, bytes);
}
void FillFloat32Targets(std::byte* at, uint64_t count) {
  FillWith<Content::kTargets>(at, count);
}

double SecondsOf(const std::function<void(cudaStream_t)>& work) {
  constexpr double kRoundSeconds = 0.02;
  constexpr int kRounds = 5;
  Timer timer;
  timer.SecondsOf(work, 3);  // raises the clocks and loads the code
  const double once = timer.SecondsOf(work, 3);
  const int turns =
      static_cast<int>(std::clamp(kRoundSeconds / once, 1.0, 2000.0));
  double least = timer.SecondsOf(work, turns);
  for (int k = 1; k < kRounds; ++k) {
    least = std::min(least, timer.SecondsOf(work, turns));
  }
  return least;
}

}  // namespace lossd::kernels::cuda
