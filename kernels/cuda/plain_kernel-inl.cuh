// The kernel of the plain paths that compute. A body, included after
// plain_group-inl.cuh.

template <class Types>
__global__ void __launch_bounds__(
    kWarpsPerThreadBlock* kWarpSize,
    kPlainThreadBlocks<sizeof(typename Types::Logit)>)
    ComputePlain(const BatchBlocks batch) {
  const uint64_t warp =
      uint64_t{blockIdx.x} * kWarpsPerThreadBlock + threadIdx.x / kWarpSize;
  const uint64_t first = warp * kBlocksPerWarp<Types>;
  if (first >= batch.range.count) return;  // a whole warp
  const uint64_t number =
      first + threadIdx.x % kWarpSize / static_cast<unsigned>(Types::kThreads);
  ComputePlainBlock<Types>(batch, number, number < batch.range.count,
                           [](const PlainBlock<Types>& block, int rank,
                              double(&loss)[Types::kLanes]) {
                             return OrdinaryRows(block, rank, loss);
                           });
}

template <class Types>
cudaError_t LaunchPlain(const PackedBatch& batch, BlockRange range,
                        cudaStream_t stream) {
  ComputePlain<Types>
      <<<GridOf(range, kWarpsPerThreadBlock * kBlocksPerWarp<Types>),
         kWarpsPerThreadBlock * kWarpSize, 0, stream>>>(BlocksOf(batch, range));
  return cudaGetLastError();
}
