// The lookup kernel: bfloat16 logits with bytes or bits as targets, if there
// are enough elements to make a table worth filling.
#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

constexpr int kThreadsPerThreadBlock = kLookupWarpsPerThreadBlock * kWarpSize;
constexpr int kTableBytes = static_cast<int>(sizeof(LookupTable));

// One thread block for each multiprocessor fills the table once and then
// computes its share of the blocks.
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
  // Neighbouring blocks go to different multiprocessors, so that these have
  // equal work even if there are few blocks.
  for (uint64_t warp =
           blockIdx.x + uint64_t{gridDim.x} * (threadIdx.x / kWarpSize);
       warp * kBlocksPerWarp<Types> < batch.range.count; warp += step) {
    const uint64_t number =
        warp * kBlocksPerWarp<Types> +
        threadIdx.x % kWarpSize / static_cast<unsigned>(Types::kThreads);
    ComputeFastBlock<Types>(batch, number, number < batch.range.count,
                            [&](const FastBlock<Types>& block, int rank,
                                double(&loss)[Types::kLanes]) {
                              return LookUpRows(table[0], block, rank, loss);
                            });
  }
}

// Returns an attribute of the current device; 0 if it is unknown.
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
                   unsigned thread_blocks, cudaStream_t stream) {
  ComputeLookedUp<Types>
      <<<thread_blocks, kThreadsPerThreadBlock, kTableBytes, stream>>>(
          BlocksOf(batch, range));
  return cudaGetLastError();
}

using Bytes = FastTypes<CudaOps<float>, BFloat16, ByteTargets>;
using Bits = FastTypes<CudaOps<float>, BFloat16, BitTargets>;

}  // namespace

unsigned LookupThreadBlocks() {
  if (Attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) < kTableBytes)
    return 0;
  return static_cast<unsigned>(Attribute(cudaDevAttrMultiProcessorCount));
}

cudaError_t LaunchLookup(KernelVariant variant, const PackedBatch& batch,
                         BlockRange range, unsigned thread_blocks,
                         cudaStream_t stream) {
  return variant == KernelVariant::kBFloat16Bits
             ? Launch<Bits>(batch, range, thread_blocks, stream)
             : Launch<Bytes>(batch, range, thread_blocks, stream);
}

cudaError_t LoadLookup() {
  const auto kernels = {ComputeLookedUp<Bytes>, ComputeLookedUp<Bits>};
  for (const auto kernel : kernels) {
    cudaError_t error = LoadCode(kernel);
    if (error == cudaSuccess && LookupThreadBlocks() > 0) {
      error = cudaFuncSetAttribute(
          kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, kTableBytes);
    }
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace lossd::kernels::cuda
