// The fast kernel, and the choice of the kernel for each variant.
#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launcher.h"

namespace lossd::kernels::cuda {
namespace {

template <class Types>
__global__ void __launch_bounds__(
    kWarpsPerThreadBlock* kWarpSize,
    kFastThreadBlocks<sizeof(typename Types::Logit)>)
    ComputeFast(const BatchBlocks batch) {
  const uint64_t warp =
      uint64_t{blockIdx.x} * kWarpsPerThreadBlock + threadIdx.x / kWarpSize;
  const uint64_t first = warp * kBlocksPerWarp<Types>;
  if (first >= batch.range.count) return;  // a whole warp
  const uint64_t number =
      first + threadIdx.x % kWarpSize / static_cast<unsigned>(Types::kThreads);
  ComputeFastBlock<Types>(
      batch, number, number < batch.range.count,
      [](const FastBlock<Types>& block, int rank,
         double(&loss)[Types::kLanes]) { return FastRows(block, rank, loss); });
}

// The fast kernel of one type of logits and targets.
template <class Operations, class Logit, template <int> class TargetsOf>
struct Fast {
  using Types = FastTypes<Operations, Logit, TargetsOf>;

  static cudaError_t Launch(const PackedBatch& batch, BlockRange range,
                            cudaStream_t stream) {
    ComputeFast<Types>
        <<<GridOf(range, kWarpsPerThreadBlock * kBlocksPerWarp<Types>),
           kWarpsPerThreadBlock * kWarpSize, 0, stream>>>(
            BlocksOf(batch, range));
    return cudaGetLastError();
  }
  static cudaError_t Load() { return LoadCode(ComputeFast<Types>); }
};

using Float32 = Fast<CudaOps<float>, float, Float32Targets>;
using Float32Bytes = Fast<CudaOps<float>, float, ByteTargets>;
using Float32Bits = Fast<CudaOps<float>, float, BitTargets>;
using BFloat16Same = Fast<CudaOps<float>, BFloat16, BFloat16Targets>;
using BFloat16Float32 = Fast<CudaOps<float>, BFloat16, Float32Targets>;
using BFloat16Bytes = Fast<CudaOps<float>, BFloat16, ByteTargets>;
using BFloat16Bits = Fast<CudaOps<float>, BFloat16, BitTargets>;
using Float16Same = Fast<CudaOps<float>, Float16, Float16Targets>;
using Float16Float32 = Fast<CudaOps<float>, Float16, Float32Targets>;
using Float16Bytes = Fast<CudaOps<float>, Float16, ByteTargets>;
using Float16Bits = Fast<CudaOps<float>, Float16, BitTargets>;
using Float64 = Fast<CudaOps<double>, double, Float64Targets>;

cudaError_t LaunchVariant(KernelVariant variant, const PackedBatch& batch,
                          BlockRange range, cudaStream_t stream) {
  switch (variant) {
    case KernelVariant::kFloat32:
      return Float32::Launch(batch, range, stream);
    case KernelVariant::kFloat32Bytes:
      return Float32Bytes::Launch(batch, range, stream);
    case KernelVariant::kFloat32Bits:
      return Float32Bits::Launch(batch, range, stream);
    case KernelVariant::kBFloat16:
      return BFloat16Same::Launch(batch, range, stream);
    case KernelVariant::kBFloat16Float32:
      return BFloat16Float32::Launch(batch, range, stream);
    case KernelVariant::kBFloat16Bytes:
      return BFloat16Bytes::Launch(batch, range, stream);
    case KernelVariant::kBFloat16Bits:
      return BFloat16Bits::Launch(batch, range, stream);
    case KernelVariant::kFloat16:
      return Float16Same::Launch(batch, range, stream);
    case KernelVariant::kFloat16Float32:
      return Float16Float32::Launch(batch, range, stream);
    case KernelVariant::kFloat16Bytes:
      return Float16Bytes::Launch(batch, range, stream);
    case KernelVariant::kFloat16Bits:
      return Float16Bits::Launch(batch, range, stream);
    case KernelVariant::kFloat64:
      return Float64::Launch(batch, range, stream);
    case KernelVariant::kExact:
    case KernelVariant::kExactPowers:
    case KernelVariant::kExactFloat64:
    case KernelVariant::kSecond:
    case KernelVariant::kSecondPowers:
    case KernelVariant::kSecondFloat64:
      return LaunchExact(variant, batch, range, stream);
  }
  return cudaErrorInvalidValue;
}

// Returns whether the table saves more time than filling it takes.
bool LookupPays(KernelVariant variant, BlockRange range) {
  return (variant == KernelVariant::kBFloat16Bytes ||
          variant == KernelVariant::kBFloat16Bits) &&
         range.count >= kLookupLeastBlocks;
}

// Returns whether the prefetching kernel is the faster one.
bool PrefetchPays(KernelVariant variant, BlockRange range) {
  return variant == KernelVariant::kFloat32 &&
         (range.count <= kPrefetchMostFewBlocks ||
          range.count >= kPrefetchLeastManyBlocks);
}

std::string Version(int version) {
  return std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10);
}

// CUDA returns cudaErrorInsufficientDriver both if the driver is too old and if
// there is none.
std::string WhyNone(cudaError_t error) {
  if (error == cudaSuccess) return "none is there";
  if (error != cudaErrorInsufficientDriver) return cudaGetErrorString(error);
  int driver = 0;
  cudaDriverGetVersion(&driver);  // 0 without a driver
  if (driver == 0) return "no NVIDIA driver is there";
  return "the NVIDIA driver is for CUDA " + Version(driver) +
         ", this build for " + Version(CUDART_VERSION);
}

}  // namespace

DeviceCount CountDevices() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return {count, ""};
  cudaGetLastError();
  return {0, WhyNone(error)};
}

int Launcher::Load() {
  for (const auto load :
       {Float32::Load, Float32Bytes::Load, Float32Bits::Load,
        BFloat16Same::Load, BFloat16Float32::Load, BFloat16Bytes::Load,
        BFloat16Bits::Load, Float16Same::Load, Float16Float32::Load,
        Float16Bytes::Load, Float16Bits::Load, Float64::Load, LoadPrefetched,
        LoadExact, LoadLookup}) {
    const cudaError_t error = load();
    if (error != cudaSuccess) return error;
  }
  lookup_thread_blocks_ = LookupThreadBlocks();
  return cudaSuccess;
}

int Launcher::Launch(const PackedBatch& batch, void* stream) const {
  const auto on = static_cast<cudaStream_t>(stream);
  for (int k = 0; k < kVariantCount; ++k) {
    const auto variant = static_cast<KernelVariant>(k);
    const BlockRange range = batch.variant_blocks[k];
    if (range.count == 0) continue;
    cudaError_t error;
    if (PrefetchPays(variant, range)) {
      error = LaunchPrefetched(batch, range, on);
    } else if (lookup_thread_blocks_ > 0 && LookupPays(variant, range)) {
      error = LaunchLookup(variant, batch, range, lookup_thread_blocks_, on);
    } else {
      error = LaunchVariant(variant, batch, range, on);
    }
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace lossd::kernels::cuda
