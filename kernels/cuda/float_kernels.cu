// The plain paths of float32 and float64 logits.
#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

#include "kernels/cuda/device-inl.cuh"
#include "kernels/cuda/plain_group-inl.cuh"
#include "kernels/cuda/plain_kernel-inl.cuh"

using Float32 = PlainTypes<CudaOps<float>, float, Float32Targets>;
using Float32Bytes = PlainTypes<CudaOps<float>, float, ByteTargets>;
using Float32Bits = PlainTypes<CudaOps<float>, float, BitTargets>;
using Float64 = PlainTypes<CudaOps<double>, double, Float64Targets>;

}  // namespace

cudaError_t LaunchFloats(Path path, const PackedBatch& batch, BlockRange range,
                         cudaStream_t stream) {
  switch (path) {
    case Path::kFloat32:
      return LaunchPlain<Float32>(batch, range, stream);
    case Path::kFloat32Bytes:
      return LaunchPlain<Float32Bytes>(batch, range, stream);
    case Path::kFloat32Bits:
      return LaunchPlain<Float32Bits>(batch, range, stream);
    case Path::kFloat64:
      return LaunchPlain<Float64>(batch, range, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LoadFloats() {
  return LoadCode(ComputePlain<Float32>, ComputePlain<Float32Bytes>,
                  ComputePlain<Float32Bits>, ComputePlain<Float64>);
}

}  // namespace lossd::kernels::cuda
