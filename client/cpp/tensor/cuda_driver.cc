#include "client/cpp/tensor/cuda_driver.h"

#include <dlfcn.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lossd::client {

// The functions of the driver that are used, as its header declares them.
struct CudaFunctions {
  using Address = unsigned long long;
  int (*init)(unsigned flags) = nullptr;
  int (*device_get)(int* device, int ordinal) = nullptr;
  int (*device_get_uuid)(void* uuid, int device) = nullptr;
  int (*context_retain)(void** context, int device) = nullptr;
  int (*context_release)(int device) = nullptr;
  int (*context_push)(void* context) = nullptr;
  int (*context_pop)(void** context) = nullptr;
  int (*allocate)(Address* address, size_t bytes) = nullptr;
  int (*free)(Address address) = nullptr;
  int (*copy_to_device)(Address to, const void* from, size_t bytes) = nullptr;
  int (*copy_to_host)(void* to, Address from, size_t bytes) = nullptr;
  int (*stream_synchronize)(void* stream) = nullptr;
  int (*get_handle)(void* handle, Address address) = nullptr;
  int (*get_range)(Address* base, size_t* size, Address address) = nullptr;
  int (*error_name)(int error, const char** name) = nullptr;
};

namespace {

constexpr int kOutOfMemory = 2;  // CUDA_ERROR_OUT_OF_MEMORY

// Finds the first of the names that the library has; returns false if it has
// none.
template <typename Function>
bool Find(void* library, std::initializer_list<const char*> names,
          Function* function) {
  for (const char* name : names) {
    *function = reinterpret_cast<Function>(dlsym(library, name));
    if (*function != nullptr) return true;
  }
  return false;
}

bool FindAll(void* in, CudaFunctions& f) {
  return Find(in, {"cuInit"}, &f.init) &&
         Find(in, {"cuDeviceGet"}, &f.device_get) &&
         Find(in, {"cuDeviceGetUuid_v2", "cuDeviceGetUuid"},
              &f.device_get_uuid) &&
         Find(in, {"cuDevicePrimaryCtxRetain"}, &f.context_retain) &&
         Find(in, {"cuDevicePrimaryCtxRelease_v2"}, &f.context_release) &&
         Find(in, {"cuCtxPushCurrent_v2"}, &f.context_push) &&
         Find(in, {"cuCtxPopCurrent_v2"}, &f.context_pop) &&
         Find(in, {"cuMemAlloc_v2"}, &f.allocate) &&
         Find(in, {"cuMemFree_v2"}, &f.free) &&
         Find(in, {"cuMemcpyHtoD_v2"}, &f.copy_to_device) &&
         Find(in, {"cuMemcpyDtoH_v2"}, &f.copy_to_host) &&
         Find(in, {"cuStreamSynchronize"}, &f.stream_synchronize) &&
         Find(in, {"cuIpcGetMemHandle"}, &f.get_handle) &&
         Find(in, {"cuMemGetAddressRange_v2"}, &f.get_range) &&
         Find(in, {"cuGetErrorName"}, &f.error_name);
}

std::string ErrorText(const CudaFunctions& functions, const char* call,
                      int error) {
  const char* name = nullptr;
  functions.error_name(error, &name);
  return absl::StrCat(call, ": ", name != nullptr ? name : "error ",
                      name != nullptr ? "" : std::to_string(error));
}

CudaFunctions::Address AddressOf(const std::byte* place) {
  return reinterpret_cast<uintptr_t>(place);
}

std::byte* PlaceOf(CudaFunctions::Address address) {
  // The driver's addresses are integers.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return reinterpret_cast<std::byte*>(static_cast<uintptr_t>(address));
}

}  // namespace

CudaMemory::~CudaMemory() {
  if (driver_ == nullptr) return;
  // An error is ignored: the driver frees the memory with the process.
  driver_
      ->Call("cuMemFree",
             [this] {
               return driver_->functions_->free(AddressOf(bytes_.data()));
             })
      .IgnoreError();
}

CudaDriver::CudaDriver(std::unique_ptr<const CudaFunctions> functions,
                       int device)
    : functions_(std::move(functions)), device_(device) {}

CudaDriver::~CudaDriver() {
  if (context_ != nullptr) functions_->context_release(device_);
}

absl::StatusOr<std::unique_ptr<CudaDriver>> CudaDriver::Open(
    int device, const char* library) {
  auto functions = std::make_unique<CudaFunctions>();
  // The library is never closed, because it has threads and exit handlers.
  void* const opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (opened == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("no CUDA driver: ", dlerror()));
  }
  if (!FindAll(opened, *functions)) {
    return absl::UnimplementedError(
        absl::StrCat("no CUDA driver: ", library, " lacks a function"));
  }
  int id = 0;
  int error = functions->init(0);
  if (error == 0) error = functions->device_get(&id, device);
  if (error != 0) {
    return absl::UnavailableError(
        absl::StrCat("CUDA device ", device, ": ",
                     ErrorText(*functions, "cuDeviceGet", error)));
  }
  std::unique_ptr<CudaDriver> driver(new CudaDriver(std::move(functions), id));
  if (absl::Status s = driver->Start(); !s.ok()) return s;
  return driver;
}

absl::Status CudaDriver::Start() {
  int error = functions_->device_get_uuid(uuid_.data(), device_);
  if (error == 0) error = functions_->context_retain(&context_, device_);
  return error == 0 ? absl::OkStatus()
                    : absl::UnavailableError(ErrorText(
                          *functions_, "cuDevicePrimaryCtxRetain", error));
}

template <typename Function>
absl::Status CudaDriver::Call(const char* name, Function function) const {
  int error = functions_->context_push(context_);
  if (error == 0) {
    error = function();
    void* popped = nullptr;
    functions_->context_pop(&popped);
  }
  if (error == 0) return absl::OkStatus();
  const std::string text = ErrorText(*functions_, name, error);
  return error == kOutOfMemory ? absl::ResourceExhaustedError(text)
                               : absl::InvalidArgumentError(text);
}

absl::StatusOr<CudaMemory> CudaDriver::Allocate(size_t bytes) const {
  CudaFunctions::Address address = 0;
  absl::Status status =
      Call("cuMemAlloc", [&] { return functions_->allocate(&address, bytes); });
  if (!status.ok()) return status;
  return CudaMemory(this, {PlaceOf(address), bytes});
}

absl::StatusOr<DeviceMemoryHandle> CudaDriver::Describe(
    std::span<std::byte> bytes) const {
  CudaFunctions::Address base = 0;
  size_t size = 0;
  absl::Status status = Call("cuMemGetAddressRange", [&] {
    return functions_->get_range(&base, &size, AddressOf(bytes.data()));
  });
  if (!status.ok()) return status;
  DeviceMemoryHandle memory{.bytes = bytes,
                            .offset = AddressOf(bytes.data()) - base,
                            .device_uuid = uuid_};
  if (bytes.size() > size - memory.offset) {
    return absl::InvalidArgumentError(
        absl::StrCat(bytes.size(), " bytes from ", memory.offset,
                     " are not within the allocation's ", size));
  }
  status = Call("cuIpcGetMemHandle", [&] {
    return functions_->get_handle(memory.ipc_handle.data(), base);
  });
  if (!status.ok()) return status;
  return memory;
}

// With memory that is not pinned, cuMemcpyHtoD() may return while the last
// bytes are in a buffer of the driver's. Waiting for the default stream makes
// sure that they are where another process reads them.
absl::Status CudaDriver::CopyToDevice(std::span<std::byte> to,
                                      std::span<const std::byte> from) const {
  return Call("cuMemcpyHtoD", [&] {
    const int error = functions_->copy_to_device(AddressOf(to.data()),
                                                 from.data(), from.size());
    return error == 0 ? functions_->stream_synchronize(nullptr) : error;
  });
}

absl::Status CudaDriver::CopyToHost(std::span<std::byte> to,
                                    std::span<const std::byte> from) const {
  return Call("cuMemcpyDtoH", [&] {
    return functions_->copy_to_host(to.data(), AddressOf(from.data()),
                                    to.size());
  });
}

}  // namespace lossd::client
