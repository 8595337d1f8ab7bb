// The real device. Every call of the CUDA runtime turns its error into a
// status.
#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/launcher.h"
#include "server/base/status_macros.h"
#include "server/execution/cuda/device.h"
#include "server/execution/cuda/numa.h"

namespace lossd::execution::cuda {
namespace {

// Errors after which the process can still use the device.
bool IsRecoverable(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
    case cudaErrorInvalidValue:
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidResourceHandle:
    case cudaErrorLaunchOutOfResources:
    case cudaErrorNotReady:
    case cudaErrorNotSupported:
    case cudaErrorOperatingSystem:  // pinning memory failed
    case cudaErrorHostMemoryAlreadyRegistered:
    case cudaErrorHostMemoryNotRegistered:
      return true;
    default:
      return false;
  }
}

// Returns the error of `call` as a status. `code` is used for errors other than
// a lack of memory.
absl::Status ToStatus(cudaError_t error, std::string_view call,
                      absl::StatusCode code) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();  // else the next call would report this error again
  if (error == cudaErrorMemoryAllocation) {
    code = absl::StatusCode::kResourceExhausted;
  }
  return absl::Status(
      code, absl::StrCat(std::string(call), ": ", cudaGetErrorName(error), ": ",
                         cudaGetErrorString(error)));
}

absl::Status ToStatus(cudaError_t error, std::string_view call) {
  return ToStatus(error, call,
                  IsRecoverable(error) ? absl::StatusCode::kInternal
                                       : absl::StatusCode::kUnavailable);
}

cudaStream_t Handle(Stream stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
cudaEvent_t Handle(Event event) {
  return static_cast<cudaEvent_t>(event.handle);
}

// Returns whether CUDA's documentation says that the process must be terminated
// after this error. A client may provoke any other error with a bad handle,
// which must not retire a device.
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

// Returns the status of a call about another process's memory. Only fatal
// errors are UNAVAILABLE, because that retires the device.
absl::Status IpcStatus(cudaError_t error, std::string_view call,
                       absl::StatusCode code) {
  return ToStatus(error, call,
                  IsFatal(error) ? absl::StatusCode::kUnavailable : code);
}

// The status of an error that the client's handle may have caused.
absl::Status BadHandle(cudaError_t error, std::string_view call) {
  return IpcStatus(error, call, absl::StatusCode::kInvalidArgument);
}

// The type of cuMemGetAddressRange(). It is a driver function, which the server
// looks up and does not link, so that it starts on machines without a driver.
using GetAddressRange = int (*)(unsigned long long* base, size_t* size,
                                unsigned long long address);

absl::StatusOr<GetAddressRange> FindGetAddressRange() {
  constexpr unsigned since = 3020;  // CUDA 3.2, which has 64-bit sizes
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

// Returns the bytes from `address` to the end of its allocation.
absl::StatusOr<size_t> SizeFrom(const void* address) {
  const absl::StatusOr<GetAddressRange> get = FindGetAddressRange();
  if (!get.ok()) return get.status();
  const uint64_t at = reinterpret_cast<uintptr_t>(address);
  unsigned long long base = 0;
  size_t size = 0;
  // The driver's error numbers are the runtime's.
  RETURN_IF_ERROR(BadHandle(static_cast<cudaError_t>((*get)(&base, &size, at)),
                            "cuMemGetAddressRange"));
  if (at < base || at - base > size) {
    return absl::InvalidArgumentError(
        "cuMemGetAddressRange: another allocation");
  }
  return size - static_cast<size_t>(at - base);
}

absl::Status CheckDevice(const void* address, int device) {
  cudaPointerAttributes attributes;
  RETURN_IF_ERROR(BadHandle(cudaPointerGetAttributes(&attributes, address),
                            "cudaPointerGetAttributes"));
  if (attributes.type == cudaMemoryTypeDevice && attributes.device == device) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("the memory is not this GPU's");
}

absl::Status CloseIpcMemory(DeviceMemory memory) {
  return IpcStatus(cudaIpcCloseMemHandle(memory.address),
                   "cudaIpcCloseMemHandle", absl::StatusCode::kInternal);
}

// Opens memory of another process on `device`, the current one
// (Device::OpenIpc()). Memory on another GPU is refused: it would be read
// through the link between the two.
absl::StatusOr<DeviceMemory> OpenIpcMemory(const IpcHandle& handle,
                                           int device) {
  cudaIpcMemHandle_t named;
  static_assert(sizeof(named) == sizeof(handle));
  std::memcpy(&named, handle.data(), sizeof(named));
  void* address = nullptr;
  absl::Status status = BadHandle(
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

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int id) : id_(id), name_(absl::StrCat("cuda/", id)) {}

  std::string_view name() const override { return name_; }
  const DeviceUuid& uuid() const override { return uuid_; }

  // Prepares the device. Errors: the device does not answer, or this build has
  // no code for it.
  absl::Status Open() {
    char bus_id[kBusIdSize] = "";
    RETURN_IF_ERROR(Call("cudaDeviceGetPCIBusId", [&] {
      return cudaDeviceGetPCIBusId(bus_id, kBusIdSize, id_);
    }));
    node_ = NodeOfPciDevice(bus_id);
    cudaDeviceProp properties;
    RETURN_IF_ERROR(Call("cudaGetDeviceProperties", [&] {
      return cudaGetDeviceProperties(&properties, id_);
    }));
    static_assert(sizeof(properties.uuid) == sizeof(DeviceUuid));
    std::memcpy(uuid_.data(), &properties.uuid, sizeof(uuid_));
    return Call("loading the kernel",
                [&] { return static_cast<cudaError_t>(launcher_.Load()); });
  }

  // Pins pages that were mapped before, because cudaHostAlloc() does not say
  // from which node it takes its pages (D35).
  absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) override {
    auto mapped = MapOnNode(bytes, node_);
    if (!mapped.ok()) return mapped.status();
    const PinnedMemory memory = {mapped->data(), bytes};
    if (absl::Status status = Pin(memory); !status.ok()) {
      Unmap(*mapped);
      return status;
    }
    return memory;
  }
  // Memory stays mapped if it cannot be unregistered: a lost device may still
  // write there.
  absl::Status FreePinned(PinnedMemory memory) override {
    if (memory.data == nullptr) return absl::OkStatus();
    absl::Status status = Unpin(memory);
    if (status.ok()) Unmap({memory.data, memory.size});
    return status;
  }
  absl::Status Pin(PinnedMemory pages) override {
    return Call("cudaHostRegister", [&] {
      return cudaHostRegister(pages.data, pages.size, cudaHostRegisterPortable);
    });
  }
  absl::Status Unpin(PinnedMemory pages) override {
    return Call("cudaHostUnregister",
                [&] { return cudaHostUnregister(pages.data); });
  }
  absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) override {
    void* address = nullptr;
    RETURN_IF_ERROR(
        Call("cudaMalloc", [&] { return cudaMalloc(&address, bytes); }));
    return DeviceMemory{static_cast<std::byte*>(address), bytes};
  }
  absl::Status FreeDevice(DeviceMemory memory) override {
    if (memory.address == nullptr) return absl::OkStatus();
    return Call("cudaFree", [&] { return cudaFree(memory.address); });
  }

  absl::StatusOr<DeviceMemory> OpenIpc(const IpcHandle& handle) override {
    RETURN_IF_ERROR(MakeCurrent());
    return OpenIpcMemory(handle, id_);
  }
  absl::Status CloseIpc(DeviceMemory memory) override {
    RETURN_IF_ERROR(MakeCurrent());
    return CloseIpcMemory(memory);
  }

  absl::StatusOr<Stream> CreateStream() override {
    cudaStream_t stream = nullptr;
    RETURN_IF_ERROR(Call("cudaStreamCreateWithFlags", [&] {
      return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    }));
    return Stream{stream};
  }
  absl::Status DestroyStream(Stream stream) override {
    if (stream.handle == nullptr) return absl::OkStatus();
    return Call("cudaStreamDestroy",
                [&] { return cudaStreamDestroy(Handle(stream)); });
  }
  absl::StatusOr<Event> CreateEvent() override {
    cudaEvent_t event = nullptr;
    // Waiting must sleep: the executor has more threads than there are cores.
    RETURN_IF_ERROR(Call("cudaEventCreateWithFlags", [&] {
      return cudaEventCreateWithFlags(
          &event, cudaEventDisableTiming | cudaEventBlockingSync);
    }));
    return Event{event};
  }
  absl::Status DestroyEvent(Event event) override {
    if (event.handle == nullptr) return absl::OkStatus();
    return Call("cudaEventDestroy",
                [&] { return cudaEventDestroy(Handle(event)); });
  }

  absl::Status CopyToDevice(DeviceMemory to, PinnedMemory from, size_t bytes,
                            Stream stream) override {
    return Call("cudaMemcpyAsync to the device", [&] {
      return cudaMemcpyAsync(to.address, from.data, bytes,
                             cudaMemcpyHostToDevice, Handle(stream));
    });
  }
  absl::Status CopyToHost(PinnedMemory to, DeviceMemory from, size_t bytes,
                          Stream stream) override {
    return Call("cudaMemcpyAsync to the host", [&] {
      return cudaMemcpyAsync(to.data, from.address, bytes,
                             cudaMemcpyDeviceToHost, Handle(stream));
    });
  }
  absl::Status Launch(const kernels::cuda::PackedBatch& batch,
                      Stream stream) override {  // D44
    return Call("launch", [&] {
      return static_cast<cudaError_t>(launcher_.Launch(batch, stream.handle));
    });
  }

  absl::Status Record(Event event, Stream stream) override {
    return Call("cudaEventRecord",
                [&] { return cudaEventRecord(Handle(event), Handle(stream)); });
  }
  absl::StatusOr<bool> Happened(Event event) override {
    RETURN_IF_ERROR(MakeCurrent());
    const cudaError_t error = cudaEventQuery(Handle(event));
    if (error == cudaErrorNotReady) {
      cudaGetLastError();
      return false;
    }
    RETURN_IF_ERROR(ToStatus(error, "cudaEventQuery"));
    return true;
  }
  absl::Status Wait(Event event) override {
    return Call("cudaEventSynchronize",
                [&] { return cudaEventSynchronize(Handle(event)); });
  }
  absl::Status Drain(Stream stream) override {
    return Call("cudaStreamSynchronize",
                [&] { return cudaStreamSynchronize(Handle(stream)); });
  }

 private:
  // Makes this the calling thread's current device.
  absl::Status MakeCurrent() {
    return ToStatus(cudaSetDevice(id_), "cudaSetDevice");
  }

  // Calls `function` with this as the current device. `what` names the call in
  // the status of an error.
  template <class Function>
  absl::Status Call(std::string_view what, Function function) {
    RETURN_IF_ERROR(MakeCurrent());
    return ToStatus(function(), what);
  }

  static constexpr int kBusIdSize = 32;  // more than "0000:3B:00.0" takes

  const int id_;
  const std::string name_;
  // Constant after Open().
  int node_ = kAnyNode;
  DeviceUuid uuid_{};
  kernels::cuda::Launcher launcher_;
};

absl::Status CheckIds(std::span<const int> ids, int count) {
  std::set<int> seen;
  for (const int id : ids) {
    if (id < 0 || id >= count) {
      return absl::InvalidArgumentError(absl::StrCat(
          "CUDA device ", id, ": this machine has 0 to ", count - 1));
    }
    if (!seen.insert(id).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("CUDA device ", id, " is named twice"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::unique_ptr<Device>>> OpenDevices(
    std::span<const int> ids) {
  const auto [count, why_none] = kernels::cuda::CountDevices();
  if (count == 0) {
    return absl::UnavailableError(absl::StrCat("no CUDA device: ", why_none));
  }
  RETURN_IF_ERROR(CheckIds(ids, count));
  std::vector<int> wanted(ids.begin(), ids.end());
  for (int id = 0; ids.empty() && id < count; ++id) wanted.push_back(id);

  std::vector<std::unique_ptr<Device>> devices;
  absl::Status unusable;
  for (const int id : wanted) {
    auto device = std::make_unique<CudaDevice>(id);
    const absl::Status status = device->Open();
    if (status.ok()) {
      devices.push_back(std::move(device));
    } else {
      unusable.Update(absl::UnavailableError(
          absl::StrCat("CUDA device ", id, ": ", status.message())));
    }
  }
  // A device that was asked for by its number must work; without numbers, one
  // working device is enough.
  if (devices.empty() || (!ids.empty() && !unusable.ok())) return unusable;
  return devices;
}

}  // namespace lossd::execution::cuda
