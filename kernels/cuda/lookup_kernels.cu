// The plain paths of bfloat16 logits and hard targets where there is much of
// them: from a table.
#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

#include "kernels/cuda/device-inl.cuh"
#include "kernels/cuda/plain_group-inl.cuh"

constexpr int kThreadsPerThreadBlock = kLookupWarpsPerThreadBlock * kWarpSize;

// One thread block for each multiprocessor makes the table once and goes
// through the blocks with it.
template <class Types>
__global__ void __launch_bounds__(kThreadsPerThreadBlock, 1)
    ComputeLookedUp(const BatchBlocks batch) {
  extern __shared__ LookupTable table[];
  for (uint32_t k = threadIdx.x; k < 2 * LookupTable::kSize;
       k += kThreadsPerThreadBlock) {
    FillEntry<CudaOps<float>>(table[0], k);
  }
  __syncthreads();
  const uint64_t step = uint64_t{gridDim.x} * kLookupWarpsPerThreadBlock;
  // Neighbouring blocks go to different multiprocessors, which then have
  // equal work where there is little of it.
  for (uint64_t warp =
           blockIdx.x + uint64_t{gridDim.x} * (threadIdx.x / kWarpSize);
       warp * kBlocksPerWarp<Types> < batch.range.count; warp += step) {
    const uint64_t number =
        warp * kBlocksPerWarp<Types> +
        threadIdx.x % kWarpSize / static_cast<unsigned>(Types::kThreads);
    ComputePlainBlock<Types>(batch, number, number < batch.range.count,
                             [&](const PlainBlock<Types>& block, int rank,
                                 double(&loss)[Types::kLanes]) {
                               return LookedUpRows(table[0], block, rank, loss);
                             });
  }
}

// An attribute of the current device; 0: unknown.
int Attribute(cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  if (cudaGetDevice(&device) != cudaSuccess) return 0;
  if (cudaDeviceGetAttribute(&value, attribute, device) != cudaSuccess)
    return 0;
  return value;
}

template <class Types>
cudaError_t Launch(const PackedBatch& batch, BlockRange range,
                   cudaStream_t stream) {
  const int bytes = static_cast<int>(sizeof(LookupTable));
  const cudaError_t error =
      cudaFuncSetAttribute(ComputeLookedUp<Types>,
                           cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  if (error != cudaSuccess) return error;
  const int grid = Attribute(cudaDevAttrMultiProcessorCount);
  ComputeLookedUp<Types>
      <<<static_cast<unsigned>(grid), kThreadsPerThreadBlock,
         sizeof(LookupTable), stream>>>(BlocksOf(batch, range));
  return cudaGetLastError();
}

using Bytes = PlainTypes<CudaOps<float>, BFloat16, ByteTargets>;
using Bits = PlainTypes<CudaOps<float>, BFloat16, BitTargets>;

}  // namespace

bool LookupPays(Path path, BlockRange range) {
  return (path == Path::kBFloat16Bytes || path == Path::kBFloat16Bits) &&
         range.count >= kLookupLeastBlocks &&
         Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) >=
             static_cast<int>(sizeof(LookupTable));
}

cudaError_t LaunchLookup(Path path, const PackedBatch& batch, BlockRange range,
                         cudaStream_t stream) {
  return path == Path::kBFloat16Bits ? Launch<Bits>(batch, range, stream)
                                     : Launch<Bytes>(batch, range, stream);
}

cudaError_t LoadLookup() {
  return LoadCode(ComputeLookedUp<Bytes>, ComputeLookedUp<Bits>);
}

}  // namespace lossd::kernels::cuda
