// The real device: the CUDA runtime, each call's error turned into a status
// where it is made.
#include <cuda_runtime_api.h>

#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cuda/launcher.h"
#include "server/execution/cuda/cuda_ipc.h"
#include "server/execution/cuda/numa.h"
#include "server/execution/cuda/open.h"

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
    case cudaErrorOperatingSystem:  // of pinning memory
    case cudaErrorHostMemoryAlreadyRegistered:
    case cudaErrorHostMemoryNotRegistered:
      return true;
    default:
      return false;
  }
}

absl::Status ToStatus(cudaError_t error, std::string_view call) {
  if (error == cudaSuccess) return absl::OkStatus();
  cudaGetLastError();  // else the next call would report this error again
  const std::string message =
      absl::StrCat(std::string(call), ": ", cudaGetErrorName(error), ": ",
                   cudaGetErrorString(error));
  if (error == cudaErrorMemoryAllocation)
    return absl::ResourceExhaustedError(message);
  return IsRecoverable(error) ? absl::InternalError(message)
                              : absl::UnavailableError(message);
}

cudaStream_t Handle(Stream stream) {
  return static_cast<cudaStream_t>(stream.handle);
}
cudaEvent_t Handle(Event event) {
  return static_cast<cudaEvent_t>(event.handle);
}

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(int id) : id_(id), name_(absl::StrCat("cuda/", id)) {}

  std::string_view name() const override { return name_; }
  const DeviceUuid& uuid() const override { return uuid_; }

  // Whether the device answers and this build has code for it.
  absl::Status Probe() {
    char bus_id[kBusIdSize] = "";
    absl::Status status = Call("cudaDeviceGetPCIBusId", [&] {
      return cudaDeviceGetPCIBusId(bus_id, kBusIdSize, id_);
    });
    if (!status.ok()) return status;
    node_ = NodeOfPciDevice(bus_id);
    cudaDeviceProp properties;
    status = Call("cudaGetDeviceProperties",
                  [&] { return cudaGetDeviceProperties(&properties, id_); });
    if (!status.ok()) return status;
    static_assert(sizeof(properties.uuid) == sizeof(DeviceUuid));
    std::memcpy(uuid_.data(), &properties.uuid, sizeof(uuid_));
    return Call("loading the kernel", [] {
      return static_cast<cudaError_t>(kernels::cuda::LoadKernel());
    });
  }

  // Our own pages, pinned afterwards: cudaHostAlloc() does not say which node
  // it takes its pages from.
  absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) override {
    auto mapped = MapOnNode(bytes, node_);
    if (!mapped.ok()) return mapped.status();
    absl::Status status = Call("cudaHostRegister", [&] {
      return cudaHostRegister(mapped->data(), bytes, cudaHostRegisterDefault);
    });
    if (!status.ok()) {
      Unmap(*mapped);
      return status;
    }
    return PinnedMemory{mapped->data(), bytes};
  }
  // Memory that a lost device does not let go of stays mapped: it may still
  // write there.
  absl::Status FreePinned(PinnedMemory memory) override {
    if (memory.data == nullptr) return absl::OkStatus();
    absl::Status status = Call("cudaHostUnregister",
                               [&] { return cudaHostUnregister(memory.data); });
    if (status.ok()) Unmap({memory.data, memory.size});
    return status;
  }
  absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) override {
    void* address = nullptr;
    absl::Status status =
        Call("cudaMalloc", [&] { return cudaMalloc(&address, bytes); });
    if (!status.ok()) return status;
    return DeviceMemory{static_cast<std::byte*>(address), bytes};
  }
  absl::Status FreeDevice(DeviceMemory memory) override {
    if (memory.address == nullptr) return absl::OkStatus();
    return Call("cudaFree", [&] { return cudaFree(memory.address); });
  }

  absl::StatusOr<DeviceMemory> OpenIpc(const IpcHandle& handle) override {
    absl::Status status = Call("cudaSetDevice", [] { return cudaSuccess; });
    if (!status.ok()) return status;
    return OpenIpcMemory(handle, id_);
  }
  absl::Status CloseIpc(DeviceMemory memory) override {
    absl::Status status = Call("cudaSetDevice", [] { return cudaSuccess; });
    return status.ok() ? CloseIpcMemory(memory) : status;
  }

  absl::StatusOr<Stream> CreateStream() override {
    cudaStream_t stream = nullptr;
    absl::Status status = Call("cudaStreamCreateWithFlags", [&] {
      return cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    });
    if (!status.ok()) return status;
    return Stream{stream};
  }
  absl::Status DestroyStream(Stream stream) override {
    if (stream.handle == nullptr) return absl::OkStatus();
    return Call("cudaStreamDestroy",
                [&] { return cudaStreamDestroy(Handle(stream)); });
  }
  absl::StatusOr<Event> CreateEvent() override {
    cudaEvent_t event = nullptr;
    // Waiting sleeps: the executor's threads are many, the cores are not.
    absl::Status status = Call("cudaEventCreateWithFlags", [&] {
      return cudaEventCreateWithFlags(
          &event, cudaEventDisableTiming | cudaEventBlockingSync);
    });
    if (!status.ok()) return status;
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
                      Stream stream) override {
    return Call("launch", [&] {
      return static_cast<cudaError_t>(
          kernels::cuda::LaunchBlocks(batch, stream.handle));
    });
  }

  absl::Status Record(Event event, Stream stream) override {
    return Call("cudaEventRecord",
                [&] { return cudaEventRecord(Handle(event), Handle(stream)); });
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
  // The runtime's current device belongs to the thread.
  template <class Function>
  absl::Status Call(std::string_view what, Function function) {
    if (absl::Status status = ToStatus(cudaSetDevice(id_), "cudaSetDevice");
        !status.ok()) {
      return status;
    }
    return ToStatus(function(), what);
  }

  static constexpr int kBusIdSize = 32;  // "0000:3B:00.0" and room

  const int id_;
  const std::string name_;
  // Constant after Probe().
  int node_ = kAnyNode;
  DeviceUuid uuid_{};
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
  std::string why;
  const int count = kernels::cuda::CountDevices(why);
  if (count == 0)
    return absl::UnavailableError(absl::StrCat("no CUDA device: ", why));
  if (absl::Status status = CheckIds(ids, count); !status.ok()) return status;
  std::vector<int> wanted(ids.begin(), ids.end());
  for (int id = 0; ids.empty() && id < count; ++id) wanted.push_back(id);

  std::vector<std::unique_ptr<Device>> devices;
  absl::Status unusable;
  for (const int id : wanted) {
    auto device = std::make_unique<CudaDevice>(id);
    const absl::Status status = device->Probe();
    if (status.ok()) {
      devices.push_back(std::move(device));
    } else {
      unusable.Update(absl::UnavailableError(
          absl::StrCat("CUDA device ", id, ": ", status.message())));
    }
  }
  // One that was asked for by its number must be there; of all others, any.
  if (devices.empty() || (!ids.empty() && !unusable.ok())) return unusable;
  return devices;
}

}  // namespace lossd::execution::cuda
