// The kernels, by the files that they are compiled in. For launcher.cc.
#ifndef LOSSD_KERNELS_CUDA_PATH_KERNELS_H_
#define LOSSD_KERNELS_CUDA_PATH_KERNELS_H_

#include <cuda_runtime_api.h>

#include "kernels/cuda/batch_layout.h"

namespace lossd::kernels::cuda {

// Each starts the kernel of one path over the blocks of `range`, which is not
// empty.
cudaError_t LaunchFloats(Path path, const PackedBatch& batch, BlockRange range,
                         cudaStream_t stream);
cudaError_t LaunchHalves(Path path, const PackedBatch& batch, BlockRange range,
                         cudaStream_t stream);
cudaError_t LaunchGeneral(Path path, const PackedBatch& batch, BlockRange range,
                          cudaStream_t stream);

// Whether the current device can hold the table of lookup-inl.h, and enough
// blocks are asked for to make it worth its making.
bool LookupPays(Path path, BlockRange range);
cudaError_t LaunchLookup(Path path, const PackedBatch& batch, BlockRange range,
                         cudaStream_t stream);

// Loads the code of each file on the current device.
cudaError_t LoadFloats();
cudaError_t LoadHalves();
cudaError_t LoadGeneral();
cudaError_t LoadLookup();

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_PATH_KERNELS_H_
