// The general loop: every option there is, a warp for each block.
#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

#include "kernels/cuda/device-inl.cuh"

template <class T, Losses kLosses>
__global__ void __launch_bounds__(kWarpsPerThreadBlock* kWarpSize,
                                  kGeneralThreadBlocks)
    ComputeGeneral(const BatchBlocks batch) {
  using Warp = Group<kWarpSize>;
  const int rank = static_cast<int>(threadIdx.x % kWarpSize);
  const uint64_t number =
      uint64_t{blockIdx.x} * kWarpsPerThreadBlock + threadIdx.x / kWarpSize;
  if (number >= batch.range.count) return;
  const uint64_t block = batch.range.first + number;
  const PackedSegment& segment = SegmentOfBlock(batch, block);
  const uint64_t first = (block - segment.first_block) * kBlockElements;
  ThreadSums sums = ComputeThread<CudaOps<T>, kLosses>(
      segment, batch.input, batch.output, first, rank);
  BlockPartial partial;
  partial.loss_sum = Warp::Sum(rank, sums.loss);
  partial.weight_sum = Warp::Sum(rank, sums.weight);
  partial.valid_count = Warp::Count(sums.valid_count);
  partial.nonzero_weight_count = Warp::Count(sums.nonzero_weight_count);
  partial.nan_count = Warp::Count(sums.nan_count);
  partial.first_nan = Warp::First(sums.first_nan);
  partial.first_bad_target = Warp::First(sums.first_bad_target);
  if (rank == 0) reinterpret_cast<BlockPartial*>(batch.output)[block] = partial;
}

template <class T, Losses kLosses>
cudaError_t Launch(const PackedBatch& batch, BlockRange range,
                   cudaStream_t stream) {
  ComputeGeneral<T, kLosses>
      <<<GridOf(range, kWarpsPerThreadBlock), kWarpsPerThreadBlock * kWarpSize,
         0, stream>>>(BlocksOf(batch, range));
  return cudaGetLastError();
}

}  // namespace

cudaError_t LaunchGeneral(Path path, const PackedBatch& batch, BlockRange range,
                          cudaStream_t stream) {
  switch (path) {
    case Path::kGeneral:
      return Launch<float, Losses::kCrossEntropy>(batch, range, stream);
    case Path::kGeneralPowers:
      return Launch<float, Losses::kAll>(batch, range, stream);
    case Path::kGeneralFloat64:
      return Launch<double, Losses::kAll>(batch, range, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LoadGeneral() {
  return LoadCode(ComputeGeneral<float, Losses::kCrossEntropy>,
                  ComputeGeneral<float, Losses::kAll>,
                  ComputeGeneral<double, Losses::kAll>);
}

}  // namespace lossd::kernels::cuda
