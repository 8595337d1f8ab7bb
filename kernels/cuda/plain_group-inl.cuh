// A group of threads with one block of a plain path. A body, included after
// device-inl.cuh.

// Block `number` of the batch's range, by kThreads threads; where `exists` is
// false they only keep the others of their warp company. `ordinary_rows(block,
// rank, sums)` is OrdinaryRows() or does the same.
template <class Types, class Rows>
__device__ __forceinline__ void ComputePlainBlock(const BatchBlocks& batch,
                                                  uint64_t number, bool exists,
                                                  Rows ordinary_rows) {
  using Threads = Group<Types::kThreads>;
  const int rank = static_cast<int>(threadIdx.x) % Types::kThreads;
  const uint64_t at = batch.range.first + (exists ? number : 0);
  PlainBlock<Types> block = PlainBlockOf<Types>(SegmentOfBlock(batch, at),
                                                batch.input, batch.output, at);
  if (!exists) block.count = 0;
  PlainSums<Types::kLanes> sums;
  uint32_t row = block.OrdinaryRowCount();
  if (!__all_sync(kFullWarp, ordinary_rows(block, rank, sums.loss))) {
    sums = PlainSums<Types::kLanes>();
    row = 0;
  }
  ExactRows(block, rank, row, sums);
  BlockPartial partial;
  const bool blemished =
      sums.nan_count != 0 || sums.first_bad_target != kNoIndex;
  if (__any_sync(kFullWarp, blemished)) {
    partial.nan_count = Threads::Count(sums.nan_count);
    partial.first_nan = Threads::First(sums.first_nan);
    partial.first_bad_target = Threads::First(sums.first_bad_target);
  }
  partial.loss_sum = Threads::Sum(rank, sums.loss);
  partial.weight_sum = static_cast<double>(block.count);
  partial.valid_count = block.count;
  partial.nonzero_weight_count = block.count;
  if (rank == 0 && exists) {
    reinterpret_cast<BlockPartial*>(batch.output)[at] = partial;
  }
}

// A thread block of kWarpsPerThreadBlock warps has as many blocks, of half
// types twice as many.
template <class Types>
inline constexpr int kBlocksPerWarp = kWarpSize / Types::kThreads;
