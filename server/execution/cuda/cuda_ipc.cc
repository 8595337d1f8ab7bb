#include "server/execution/cuda/cuda_ipc.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lossd::execution::cuda {
namespace {

// Of these CUDA says that the process must be terminated. An error of any other
// kind may be a stranger's doing, who must not be able to retire a device.
bool IsFatal(cudaError_t error) {
  switch (error) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
      return true;
    default:
      return false;
  }
}

// `otherwise` is the code of what is neither fatal nor a want of memory.
absl::Status ToStatus(cudaError_t error, absl::string_view call,
                      absl::StatusCode otherwise) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();  // else the next call would report this error again
  const std::string message = absl::StrCat(call, ": ", cudaGetErrorName(error),
                                           ": ", cudaGetErrorString(error));
  if (IsFatal(error)) return absl::UnavailableError(message);
  if (error == cudaErrorMemoryAllocation) {
    return absl::ResourceExhaustedError(message);
  }
  return absl::Status(otherwise, message);
}

absl::Status Refused(cudaError_t error, absl::string_view call) {
  return ToStatus(error, call, absl::StatusCode::kInvalidArgument);
}

// cuMemGetAddressRange(). Of the driver, which the server does not link: it
// starts on machines that have none.
using GetAddressRange = int (*)(unsigned long long* base, size_t* size,
                                unsigned long long address);

absl::StatusOr<GetAddressRange> FindGetAddressRange() {
  constexpr unsigned since = 3020;  // CUDA 3.2: sizes of 64 bits
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuMemGetAddressRange", &found, since, cudaEnableDefault, &result);
  if (error != cudaSuccess || result != cudaDriverEntryPointSuccess ||
      found == nullptr) {
    cudaGetLastError();
    return absl::InvalidArgumentError(
        "this driver does not say how large an allocation is");
  }
  return reinterpret_cast<GetAddressRange>(found);
}

// The bytes from `address` to the end of its allocation.
absl::StatusOr<size_t> SizeFrom(const void* address) {
  const absl::StatusOr<GetAddressRange> get = FindGetAddressRange();
  if (!get.ok()) return get.status();
  const uint64_t at = reinterpret_cast<uintptr_t>(address);
  unsigned long long base = 0;
  size_t size = 0;
  // The driver's errors have the runtime's numbers.
  absl::Status status =
      Refused(static_cast<cudaError_t>((*get)(&base, &size, at)),
              "cuMemGetAddressRange");
  if (!status.ok()) return status;
  if (at < base || at - base > size) {
    return absl::InvalidArgumentError(
        "cuMemGetAddressRange: another allocation");
  }
  return size - static_cast<size_t>(at - base);
}

absl::Status CheckDevice(const void* address, int device) {
  cudaPointerAttributes attributes;
  absl::Status status = Refused(cudaPointerGetAttributes(&attributes, address),
                                "cudaPointerGetAttributes");
  if (!status.ok()) return status;
  if (attributes.type == cudaMemoryTypeDevice && attributes.device == device) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the memory is not this GPU's");
}

}  // namespace

absl::StatusOr<DeviceMemory> OpenIpcMemory(const IpcHandle& handle,
                                           int device) {
  cudaIpcMemHandle_t named;
  static_assert(sizeof(named) == sizeof(handle));
  std::memcpy(&named, handle.data(), sizeof(named));
  void* address = nullptr;
  absl::Status status = Refused(
      cudaIpcOpenMemHandle(&address, named, cudaIpcMemLazyEnablePeerAccess),
      "cudaIpcOpenMemHandle");
  if (!status.ok()) return status;
  DeviceMemory memory{static_cast<std::byte*>(address), 0};
  status = CheckDevice(address, device);
  if (status.ok()) {
    const absl::StatusOr<size_t> size = SizeFrom(address);
    if (size.ok()) {
      memory.size = *size;
      return memory;
    }
    status = size.status();
  }
  GiveBack([&memory] { return CloseIpcMemory(memory); });
  return status;
}

absl::Status CloseIpcMemory(DeviceMemory memory) {
  return ToStatus(cudaIpcCloseMemHandle(memory.address),
                  "cudaIpcCloseMemHandle", absl::StatusCode::kInternal);
}

}  // namespace lossd::execution::cuda
