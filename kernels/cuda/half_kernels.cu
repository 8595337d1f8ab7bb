// The plain paths of bfloat16 and float16 logits.
#include "kernels/cuda/device.cuh"

namespace lossd::kernels::cuda {
namespace {

#include "kernels/cuda/device-inl.cuh"
#include "kernels/cuda/plain_group-inl.cuh"
#include "kernels/cuda/plain_kernel-inl.cuh"

template <template <int> class TargetsOf>
using OfBFloat16 = PlainTypes<CudaOps<float>, BFloat16, TargetsOf>;
template <template <int> class TargetsOf>
using OfFloat16 = PlainTypes<CudaOps<float>, Float16, TargetsOf>;

}  // namespace

cudaError_t LaunchHalves(Path path, const PackedBatch& batch, BlockRange range,
                         cudaStream_t stream) {
  switch (path) {
    case Path::kBFloat16:
      return LaunchPlain<OfBFloat16<BFloat16Targets>>(batch, range, stream);
    case Path::kBFloat16Float32:
      return LaunchPlain<OfBFloat16<Float32Targets>>(batch, range, stream);
    case Path::kBFloat16Bytes:
      return LaunchPlain<OfBFloat16<ByteTargets>>(batch, range, stream);
    case Path::kBFloat16Bits:
      return LaunchPlain<OfBFloat16<BitTargets>>(batch, range, stream);
    case Path::kFloat16:
      return LaunchPlain<OfFloat16<Float16Targets>>(batch, range, stream);
    case Path::kFloat16Float32:
      return LaunchPlain<OfFloat16<Float32Targets>>(batch, range, stream);
    case Path::kFloat16Bytes:
      return LaunchPlain<OfFloat16<ByteTargets>>(batch, range, stream);
    case Path::kFloat16Bits:
      return LaunchPlain<OfFloat16<BitTargets>>(batch, range, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t LoadHalves() {
  return LoadCode(ComputePlain<OfBFloat16<BFloat16Targets>>,
                  ComputePlain<OfBFloat16<Float32Targets>>,
                  ComputePlain<OfBFloat16<ByteTargets>>,
                  ComputePlain<OfBFloat16<BitTargets>>,
                  ComputePlain<OfFloat16<Float16Targets>>,
                  ComputePlain<OfFloat16<Float32Targets>>,
                  ComputePlain<OfFloat16<ByteTargets>>,
                  ComputePlain<OfFloat16<BitTargets>>);
}

}  // namespace lossd::kernels::cuda
