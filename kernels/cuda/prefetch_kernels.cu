// The prefetching kernel: float32 logits and targets, for few blocks or very
// many.
//
// A thread copies its elements of the next rows to shared memory while it
// computes one, so loads are under way that take no registers. Before sm_80 the
// header's copies are loads and stores.
#include <cuda_pipeline_primitives.h>

#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

using Types = FastTypes<CudaOps<float>, float, Float32Targets>;
using Vector = Types::Logits;
static_assert(sizeof(Vector) == 16);
static_assert(sizeof(Types::Targets::Row) == sizeof(Vector));

// The rows of a warp that are under way, and the one that is computed. Each
// thread reads only what it has copied, so the warp need not be synchronized.
struct RowsAhead {
  Vector logits[kPrefetchRows][kWarpSize];
  Vector targets[kPrefetchRows][kWarpSize];
};

// Starts the copy of a thread's elements of row `row`, if the block has it. The
// group is committed in either case, so that their number tells which are done.
__device__ __forceinline__ void Prefetch(const FastBlock<Types>& block,
                                         uint32_t row, int thread,
                                         RowsAhead& rows) {
  if (row < block.FastRowCount()) {
    const uint64_t at =
        uint64_t{row} * kWarpSize + static_cast<unsigned>(thread);
    const uint32_t place = row % kPrefetchRows;
    __pipeline_memcpy_async(&rows.logits[place][thread],
                            PlaceOf<Vector>(block.logits, at), sizeof(Vector));
    __pipeline_memcpy_async(&rows.targets[place][thread],
                            PlaceOf<Vector>(block.targets, at), sizeof(Vector));
  }
  __pipeline_commit();
}

// Does what FastRows() does.
__device__ __forceinline__ bool PrefetchedRows(const FastBlock<Types>& block,
                                               int thread, RowsAhead& rows,
                                               double (&loss)[Types::kLanes]) {
  const uint32_t count = block.FastRowCount();
  uint32_t at = static_cast<uint32_t>(Types::kLanes * thread);
  uint32_t seen = 0;
  LOSSD_UNROLL for (uint32_t row = 0; row + 1 < kPrefetchRows; ++row) {
    Prefetch(block, row, thread, rows);
  }
  LOSSD_ROLL for (uint32_t row = 0; row < count; ++row) {
    __pipeline_wait_prior(kPrefetchRows - 2);
    const uint32_t place = row % kPrefetchRows;
    FastRow<Types> now;
    now.logits = rows.logits[place][thread];
    memcpy(&now.targets, &rows.targets[place][thread], sizeof(now.targets));
    Prefetch(block, row + kPrefetchRows - 1, thread, rows);
    ComputeRow(block, at, now, loss, seen);
    at += static_cast<uint32_t>(kBlockLanes);
  }
  return AreGood<float>(loss, seen);
}

__global__ void __launch_bounds__(kWarpsPerThreadBlock* kWarpSize,
                                  kPrefetchThreadBlocks)
    ComputePrefetched(const BatchBlocks batch) {
  __shared__ RowsAhead rows[kWarpsPerThreadBlock];
  const uint64_t number =
      uint64_t{blockIdx.x} * kWarpsPerThreadBlock + threadIdx.x / kWarpSize;
  if (number >= batch.range.count) return;  // a whole warp
  RowsAhead& own = rows[threadIdx.x / kWarpSize];
  ComputeFastBlock<Types>(batch, number, true,
                          [&](const FastBlock<Types>& block, int rank,
                              double(&loss)[Types::kLanes]) {
                            return PrefetchedRows(block, rank, own, loss);
                          });
}

}  // namespace

cudaError_t LaunchPrefetched(const PackedBatch& batch, BlockRange range,
                             cudaStream_t stream) {
  ComputePrefetched<<<GridOf(range, kWarpsPerThreadBlock),
                      kWarpsPerThreadBlock * kWarpSize, 0, stream>>>(
      BlocksOf(batch, range));
  return cudaGetLastError();
}

cudaError_t LoadPrefetched() { return LoadCode(ComputePrefetched); }

}  // namespace lossd::kernels::cuda
