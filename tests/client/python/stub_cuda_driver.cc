// A CUDA driver for tests. The memory of its GPUs is POSIX shared memory and a
// handle is the name of that, so fake devices of another process can open it.
// Like a real driver, it refuses calls before cuInit() or without a context,
// addresses that are not the base of an allocation, and memory without handle.
//
// stub_gpu.py compiles this file with NVIDIA's cuda.h, whose declarations the
// definitions must match.
#include <cuda.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

constexpr int kDevices = 2;
// A CUdevice differs from its ordinal, so that a test fails if a client mixes
// them up.
constexpr int kFirstDevice = 40;

struct Allocation {
  size_t size;
  unsigned long long id;
  int device;
  bool has_handle;
  std::string name;
};

std::mutex mu;
bool initialized = false;
std::map<CUdeviceptr, Allocation> allocations;  // the key is the base
unsigned long long ids = 0;
int retained[kDevices] = {};
std::map<std::string, int> calls;
std::map<std::string, CUresult> failures;
thread_local std::vector<CUcontext> contexts;

CUcontext PrimaryContext(int device) {
  static char contexts[kDevices];
  return reinterpret_cast<CUcontext>(&contexts[device]);
}

const Allocation* Find(CUdeviceptr address, CUdeviceptr* base = nullptr) {
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return nullptr;
  --next;
  if (address - next->first >= next->second.size) return nullptr;
  if (base != nullptr) *base = next->first;
  return &next->second;
}

// Every call begins with this: it counts the call, and fails if the test asked
// for that or cuInit() has not been called.
CUresult Begin(const char* name) {
  ++calls[name];
  const auto failure = failures.find(name);
  if (failure != failures.end()) {
    const CUresult why = failure->second;
    failures.erase(failure);
    return why;
  }
  return initialized ? CUDA_SUCCESS : CUDA_ERROR_NOT_INITIALIZED;
}

// Calls that work in the current context begin with this.
CUresult BeginInContext(const char* name) {
  const CUresult begun = Begin(name);
  if (begun != CUDA_SUCCESS) return begun;
  return contexts.empty() ? CUDA_ERROR_INVALID_CONTEXT : CUDA_SUCCESS;
}

}  // namespace

#define BEGIN(how)                            \
  const std::lock_guard<std::mutex> lock(mu); \
  const CUresult begun = how(__func__);       \
  if (begun != CUDA_SUCCESS) return begun

CUresult cuInit(unsigned) {
  const std::lock_guard<std::mutex> lock(mu);
  initialized = true;
  return Begin("cuInit");
}

CUresult cuGetErrorName(CUresult error, const char** name) {
  static const std::map<CUresult, const char*> kNames = {
      {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
      {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
      {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
      {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
  };
  const auto found = kNames.find(error);
  *name = found == kNames.end() ? nullptr : found->second;
  return *name == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute,
                               CUdeviceptr address) {
  BEGIN(Begin);
  const Allocation* found = Find(address);
  if (found == nullptr) return CUDA_ERROR_INVALID_VALUE;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
      // Memory of a pool belongs to no context.
      *static_cast<CUcontext*>(data) =
          found->has_handle ? PrimaryContext(found->device) : nullptr;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
      *static_cast<unsigned long long*>(data) = found->id;
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      *static_cast<int*>(data) = found->device;
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult cuMemGetAddressRange(CUdeviceptr* base, size_t* size,
                              CUdeviceptr address) {
  BEGIN(BeginInContext);
  const Allocation* found = Find(address, base);
  if (found == nullptr) return CUDA_ERROR_NOT_FOUND;
  *size = found->size;
  return CUDA_SUCCESS;
}

CUresult cuIpcGetMemHandle(CUipcMemHandle* handle, CUdeviceptr address) {
  BEGIN(BeginInContext);
  CUdeviceptr base = 0;
  const Allocation* found = Find(address, &base);
  if (found == nullptr || base != address || !found->has_handle) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (contexts.back() != PrimaryContext(found->device)) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  std::memset(handle, 0, sizeof(*handle));
  std::strncpy(handle->reserved, found->name.c_str(), sizeof(*handle) - 1);
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  BEGIN(Begin);
  if (ordinal < 0 || ordinal >= kDevices) return CUDA_ERROR_INVALID_DEVICE;
  *device = kFirstDevice + ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice device) {
  BEGIN(Begin);
  const int ordinal = device - kFirstDevice;
  if (ordinal < 0 || ordinal >= kDevices) return CUDA_ERROR_INVALID_DEVICE;
  const std::string text = "lossd fake gpu " + std::to_string(ordinal);
  std::memcpy(uuid->bytes, text.data(), sizeof(uuid->bytes));
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  BEGIN(Begin);
  const int ordinal = device - kFirstDevice;
  if (ordinal < 0 || ordinal >= kDevices) return CUDA_ERROR_INVALID_DEVICE;
  ++retained[ordinal];
  *context = PrimaryContext(ordinal);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  BEGIN(Begin);
  const int ordinal = device - kFirstDevice;
  if (ordinal < 0 || ordinal >= kDevices || retained[ordinal] == 0) {
    return CUDA_ERROR_INVALID_DEVICE;
  }
  --retained[ordinal];
  return CUDA_SUCCESS;
}

CUresult cuCtxPushCurrent(CUcontext context) {
  BEGIN(Begin);
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  contexts.push_back(context);
  return CUDA_SUCCESS;
}

CUresult cuCtxPopCurrent(CUcontext* context) {
  BEGIN(BeginInContext);
  *context = contexts.back();
  contexts.pop_back();
  return CUDA_SUCCESS;
}

CUresult cuCtxSynchronize() {
  BEGIN(BeginInContext);
  return CUDA_SUCCESS;
}

// The functions by which the tests control the stub.
extern "C" {

// Allocates at address `at`, or anywhere if that is 0. Returns 0 if there is no
// such memory.
CUdeviceptr stub_allocate(int device, size_t size, int has_handle,
                          CUdeviceptr at) {
  const std::lock_guard<std::mutex> lock(mu);
  const std::string name = "/lossd_test_py_" + std::to_string(getpid()) + "_" +
                           std::to_string(++ids);
  const int file = shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, static_cast<off_t>(size)) != 0) return 0;
  void* memory =
      mmap(reinterpret_cast<void*>(at), size, PROT_READ | PROT_WRITE,
           MAP_SHARED | (at == 0 ? 0 : MAP_FIXED_NOREPLACE), file, 0);
  close(file);
  if (memory == MAP_FAILED) return 0;
  const auto base = reinterpret_cast<CUdeviceptr>(memory);
  allocations[base] = {size, ids, device, has_handle != 0, name};
  return base;
}

int stub_free(CUdeviceptr base) {
  const std::lock_guard<std::mutex> lock(mu);
  const auto found = allocations.find(base);
  if (found == allocations.end()) return 0;
  shm_unlink(found->second.name.c_str());
  munmap(reinterpret_cast<void*>(base), found->second.size);
  allocations.erase(found);
  return 1;
}

// Lets the next call of the function fail.
void stub_fail(const char* function, int error) {
  const std::lock_guard<std::mutex> lock(mu);
  failures[function] = static_cast<CUresult>(error);
}

int stub_calls(const char* function) {
  const std::lock_guard<std::mutex> lock(mu);
  return calls[function];
}

// Returns how many contexts are pushed on this thread or retained.
int stub_contexts() {
  const std::lock_guard<std::mutex> lock(mu);
  int count = static_cast<int>(contexts.size());
  for (const int device : retained) count += device;
  return count;
}

}  // extern "C"
