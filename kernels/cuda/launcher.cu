#include "kernels/cuda/launcher.h"

#include <cuda_runtime_api.h>

#include "kernels/cuda/path_kernels.h"

namespace lossd::kernels::cuda {
namespace {

cudaError_t LaunchPath(Path path, const PackedBatch& batch, BlockRange range,
                       cudaStream_t stream) {
  switch (path) {
    case Path::kFloat32:
    case Path::kFloat32Bytes:
    case Path::kFloat32Bits:
    case Path::kFloat64:
      return LaunchFloats(path, batch, range, stream);
    case Path::kBFloat16Bytes:
    case Path::kBFloat16Bits:
      if (LookupPays(path, range)) {
        return LaunchLookup(path, batch, range, stream);
      }
      return LaunchHalves(path, batch, range, stream);
    case Path::kBFloat16:
    case Path::kBFloat16Float32:
    case Path::kFloat16:
    case Path::kFloat16Float32:
    case Path::kFloat16Bytes:
    case Path::kFloat16Bits:
      return LaunchHalves(path, batch, range, stream);
    case Path::kGeneral:
    case Path::kGeneralPowers:
    case Path::kGeneralFloat64:
      return LaunchGeneral(path, batch, range, stream);
  }
  return cudaErrorInvalidValue;
}

std::string Version(int version) {
  return std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10);
}

// CUDA says cudaErrorInsufficientDriver both where a driver is too old and
// where there is none.
std::string WhyNone(cudaError_t error) {
  if (error == cudaSuccess) return "none is there";
  if (error != cudaErrorInsufficientDriver) return cudaGetErrorString(error);
  int driver = 0;
  cudaDriverGetVersion(&driver);  // 0 without a driver
  if (driver == 0) return "no NVIDIA driver is there";
  return "the NVIDIA driver is for CUDA " + Version(driver) +
         ", this build for " + Version(CUDART_VERSION);
}

}  // namespace

int CountDevices(std::string& why) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  cudaGetLastError();
  why = WhyNone(error);
  return 0;
}

int LaunchBlocks(const PackedBatch& batch, void* stream) {
  for (int k = 0; k < kPathCount; ++k) {
    const BlockRange range = batch.paths[k];
    if (range.count == 0) continue;
    const cudaError_t error = LaunchPath(static_cast<Path>(k), batch, range,
                                         static_cast<cudaStream_t>(stream));
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

int LoadKernel() {
  for (const auto load : {LoadFloats, LoadHalves, LoadGeneral, LoadLookup}) {
    const cudaError_t error = load();
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace lossd::kernels::cuda
