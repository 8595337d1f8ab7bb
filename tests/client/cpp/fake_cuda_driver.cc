// A libcuda.so.1 for machines without a GPU. It has the few functions that
// client/cpp/tensor/cuda_driver.cc looks for, over POSIX shared memory that
// fake devices can open. There are two GPUs. A call without its context is an
// error, as it is with the driver. A copy to a GPU is done when its stream is
// waited for, and no sooner; the driver's may be that late.
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/server/execution/cuda/lent_files.h"

namespace {

using lossd::execution::cuda::FakeAllocation;
using lossd::execution::cuda::FakeUuid;

// Values of CUresult.
constexpr int kSuccess = 0;
constexpr int kInvalidValue = 1;
constexpr int kOutOfMemory = 2;
constexpr int kInvalidDevice = 101;
constexpr int kInvalidContext = 201;

constexpr int kDevices = 2;
constexpr size_t kMemory = size_t{1} << 30;

using Address = unsigned long long;

struct Copy {
  Address to;
  std::string bytes;
};

struct Driver {
  absl::Mutex mu;
  std::map<Address, std::unique_ptr<FakeAllocation>> memory ABSL_GUARDED_BY(mu);
  std::vector<Copy> begun ABSL_GUARDED_BY(mu);  // of the default stream
};

Driver& TheDriver() {
  static Driver* const driver = new Driver;
  return *driver;
}

thread_local int contexts = 0;  // on this thread's stack of them

int Check() { return contexts > 0 ? kSuccess : kInvalidContext; }

// Returns the allocation that has the address, or end() if none has.
auto Find(Driver& driver, Address address)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(driver.mu) {
  auto found = driver.memory.upper_bound(address);
  if (found == driver.memory.begin()) return driver.memory.end();
  --found;
  return address - found->first < found->second->bytes().size()
             ? found
             : driver.memory.end();
}

void EndCopies(Driver& driver) ABSL_EXCLUSIVE_LOCKS_REQUIRED(driver.mu) {
  for (const Copy& copy : driver.begun) {
    std::memcpy(reinterpret_cast<void*>(copy.to), copy.bytes.data(),
                copy.bytes.size());
  }
  driver.begun.clear();
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return kSuccess; }

int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal >= 0 && ordinal < kDevices ? kSuccess : kInvalidDevice;
}

int cuDeviceGetUuid(void* uuid, int device) {
  const auto bytes = FakeUuid("cuda/" + std::to_string(device));
  std::memcpy(uuid, bytes.data(), bytes.size());
  return kSuccess;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &TheDriver();
  return kSuccess;
}

int cuDevicePrimaryCtxRelease_v2(int) { return kSuccess; }

int cuCtxPushCurrent_v2(void* context) {
  if (context != &TheDriver()) return kInvalidContext;
  ++contexts;
  return kSuccess;
}

int cuCtxPopCurrent_v2(void** context) {
  *context = &TheDriver();
  return contexts-- > 0 ? kSuccess : kInvalidContext;
}

int cuMemAlloc_v2(Address* address, size_t bytes) {
  if (Check() != kSuccess) return Check();
  if (bytes == 0) return kInvalidValue;
  if (bytes > kMemory) return kOutOfMemory;
  auto made = std::make_unique<FakeAllocation>(bytes);
  *address = reinterpret_cast<uintptr_t>(made->bytes().data());
  const absl::MutexLock lock(&TheDriver().mu);
  TheDriver().memory.emplace(*address, std::move(made));
  return kSuccess;
}

int cuMemFree_v2(Address address) {
  if (Check() != kSuccess) return Check();
  const absl::MutexLock lock(&TheDriver().mu);
  EndCopies(TheDriver());
  return TheDriver().memory.erase(address) == 1 ? kSuccess : kInvalidValue;
}

int cuMemcpyHtoD_v2(Address to, const void* from, size_t bytes) {
  if (Check() != kSuccess) return Check();
  const absl::MutexLock lock(&TheDriver().mu);
  TheDriver().begun.push_back(
      {to, std::string(static_cast<const char*>(from), bytes)});
  return kSuccess;
}

int cuStreamSynchronize(void*) {
  if (Check() != kSuccess) return Check();
  const absl::MutexLock lock(&TheDriver().mu);
  EndCopies(TheDriver());
  return kSuccess;
}

int cuMemcpyDtoH_v2(void* to, Address from, size_t bytes) {
  if (Check() != kSuccess) return Check();
  const absl::MutexLock lock(&TheDriver().mu);
  EndCopies(TheDriver());
  std::memcpy(to, reinterpret_cast<const void*>(from), bytes);
  return kSuccess;
}

int cuIpcGetMemHandle(void* handle, Address address) {
  if (Check() != kSuccess) return Check();
  const absl::MutexLock lock(&TheDriver().mu);
  const auto found = TheDriver().memory.find(address);
  if (found == TheDriver().memory.end()) return kInvalidValue;
  const auto bytes = found->second->handle();
  std::memcpy(handle, bytes.data(), bytes.size());
  return kSuccess;
}

int cuMemGetAddressRange_v2(Address* base, size_t* size, Address address) {
  if (Check() != kSuccess) return Check();
  const absl::MutexLock lock(&TheDriver().mu);
  const auto found = Find(TheDriver(), address);
  if (found == TheDriver().memory.end()) return kInvalidValue;
  *base = found->first;
  *size = found->second->bytes().size();
  return kSuccess;
}

int cuGetErrorName(int error, const char** name) {
  *name = error == kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY"
                                : "CUDA_ERROR_OF_THE_FAKE";
  return kSuccess;
}

}  // extern "C"
