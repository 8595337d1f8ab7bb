// The exact kernel: every option, a warp for each block.
#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

template <class T, LossKinds kLossKinds, bool kSecond>
__global__ void __launch_bounds__(kWarpsPerThreadBlock* kWarpSize,
                                  kExactThreadBlocks)
    ComputeExact(const BatchBlocks batch) {
  using Warp = Group<kWarpSize>;
  const int rank = static_cast<int>(threadIdx.x % kWarpSize);
  const uint64_t number =
      uint64_t{blockIdx.x} * kWarpsPerThreadBlock + threadIdx.x / kWarpSize;
  if (number >= batch.range.count) return;
  const uint64_t block = batch.range.first + number;
  const PackedSegment& segment = SegmentOfBlock(batch, block);
  const uint64_t first = (block - segment.first_block) * kBlockElements;
  ThreadSums sums = ComputeThread<CudaOps<T>, kLossKinds, kSecond>(
      segment, batch.input, batch.output, first, rank);
  BlockPartial partial;
  partial.loss_sum = Warp::Sum(rank, sums.loss);
  partial.weight_sum = Warp::Sum(rank, sums.weight);
  partial.valid_count = Warp::Count(sums.valid_count);
  partial.nonzero_weight_count = Warp::Count(sums.nonzero_weight_count);
  partial.nan_count = Warp::Count(sums.nan_count);
  partial.first_nan = Warp::First(sums.first_nan);
  partial.first_bad_target = Warp::First(sums.first_bad_target);
  partial.first_operand_fault = Warp::First(sums.first_operand_fault);
  if (rank == 0) reinterpret_cast<BlockPartial*>(batch.output)[block] = partial;
}

template <class T, LossKinds kLossKinds, bool kSecond = false>
cudaError_t Launch(const PackedBatch& batch, BlockRange range,
                   cudaStream_t stream) {
  ComputeExact<T, kLossKinds, kSecond>
      <<<GridOf(range, kWarpsPerThreadBlock), kWarpsPerThreadBlock * kWarpSize,
         0, stream>>>(BlocksOf(batch, range));
  return cudaGetLastError();
}

}  // namespace

cudaError_t LaunchExact(KernelVariant variant, const PackedBatch& batch,
                        BlockRange range, cudaStream_t stream) {
  switch (variant) {
    case KernelVariant::kExact:
      return Launch<float, LossKinds::kCrossEntropy>(batch, range, stream);
    case KernelVariant::kExactPowers:
      return Launch<float, LossKinds::kAll>(batch, range, stream);
    case KernelVariant::kExactFloat64:
      return Launch<double, LossKinds::kAll>(batch, range, stream);
    case KernelVariant::kSecond:
      return Launch<float, LossKinds::kCrossEntropy, true>(batch, range,
                                                           stream);
    case KernelVariant::kSecondPowers:
      return Launch<float, LossKinds::kAll, true>(batch, range, stream);
    case KernelVariant::kSecondFloat64:
      return Launch<double, LossKinds::kAll, true>(batch, range, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LoadExact() {
  return LoadCode(ComputeExact<float, LossKinds::kCrossEntropy, false>,
                  ComputeExact<float, LossKinds::kAll, false>,
                  ComputeExact<double, LossKinds::kAll, false>,
                  ComputeExact<float, LossKinds::kCrossEntropy, true>,
                  ComputeExact<float, LossKinds::kAll, true>,
                  ComputeExact<double, LossKinds::kAll, true>);
}

}  // namespace lossd::kernels::cuda
