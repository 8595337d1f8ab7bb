// A device in host memory that computes with the kernel's own code, and fails,
// or makes others wait, where a test says.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/execution/cuda/device.h"
#include "tests/kernels/cuda/host_warp.h"

namespace lossd::execution::cuda {

// Thread-safe. What it hands out must be given back before it is destroyed;
// live() says.
class FakeDevice final : public Device {
 public:
  explicit FakeDevice(std::string name = "cuda/0") : name_(std::move(name)) {}

  // The call number `call` from now on (0 is the next) fails once, with
  // `status`.
  void FailCall(int call, absl::Status status) {
    absl::MutexLock lock(&mu_);
    fail_at_ = calls_ + call;
    failure_ = std::move(status);
  }
  // Wait() blocks from now on until ReleaseWaits().
  void HoldWaits() {
    absl::MutexLock lock(&mu_);
    hold_ = true;
  }
  void ReleaseWaits() {
    absl::MutexLock lock(&mu_);
    hold_ = false;
  }
  // Returns when `count` threads are held in Wait().
  void AwaitHeld(int count) {
    absl::MutexLock lock(&mu_);
    const auto held = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return held_ >= count;
    };
    mu_.Await(absl::Condition(&held));
  }
  int calls() const {
    absl::MutexLock lock(&mu_);
    return calls_;
  }
  int allocations() const {
    absl::MutexLock lock(&mu_);
    return allocations_;
  }
  // Buffers, streams and events that are out.
  int live() const {
    absl::MutexLock lock(&mu_);
    return live_;
  }

  std::string_view name() const override { return name_; }
  absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) override {
    if (absl::Status s = Call(+1); !s.ok()) return s;
    return PinnedMemory{Allocate(bytes), bytes};
  }
  absl::Status FreePinned(PinnedMemory memory) override {
    return Release(memory.data);
  }
  absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) override {
    if (absl::Status s = Call(+1); !s.ok()) return s;
    return DeviceMemory{Allocate(bytes), bytes};
  }
  absl::Status FreeDevice(DeviceMemory memory) override {
    return Release(memory.address);
  }
  absl::StatusOr<Stream> CreateStream() override {
    if (absl::Status s = Call(+1); !s.ok()) return s;
    return Stream{std::malloc(1)};
  }
  absl::Status DestroyStream(Stream stream) override {
    return Release(stream.handle);
  }
  absl::StatusOr<Event> CreateEvent() override {
    if (absl::Status s = Call(+1); !s.ok()) return s;
    return Event{std::malloc(1)};
  }
  absl::Status DestroyEvent(Event event) override {
    return Release(event.handle);
  }
  absl::Status CopyToDevice(DeviceMemory to, PinnedMemory from, size_t bytes,
                            Stream) override {
    if (absl::Status s = Call(0); !s.ok()) return s;
    std::memcpy(to.address, from.data, bytes);
    return absl::OkStatus();
  }
  absl::Status CopyToHost(PinnedMemory to, DeviceMemory from, size_t bytes,
                          Stream) override {
    if (absl::Status s = Call(0); !s.ok()) return s;
    std::memcpy(to.data, from.address, bytes);
    return absl::OkStatus();
  }
  absl::Status Launch(const kernels::cuda::PackedBatch& batch,
                      Stream) override {
    if (absl::Status s = Call(0); !s.ok()) return s;
    kernels::cuda::ComputeOnHost(batch);
    return absl::OkStatus();
  }
  absl::Status Record(Event, Stream) override { return Call(0); }
  absl::Status Wait(Event) override {
    {
      absl::MutexLock lock(&mu_);
      ++held_;
      const auto released = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return !hold_;
      };
      mu_.Await(absl::Condition(&released));
      --held_;
    }
    return Call(0);
  }
  absl::Status Drain(Stream) override { return Call(0); }

 private:
  static std::byte* Allocate(size_t bytes) {
    constexpr size_t kAlignment = kernels::cuda::kTensorAlignment;
    return static_cast<std::byte*>(
        std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment));
  }
  // Giving back does not fail: nothing could be done about it.
  absl::Status Release(void* memory) {
    if (memory == nullptr) return absl::OkStatus();
    std::free(memory);
    absl::MutexLock lock(&mu_);
    --live_;
    return absl::OkStatus();
  }
  absl::Status Call(int taken) {
    absl::MutexLock lock(&mu_);
    if (calls_++ == fail_at_) return failure_;
    live_ += taken;
    allocations_ += taken;
    return absl::OkStatus();
  }

  const std::string name_;
  mutable absl::Mutex mu_;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  int fail_at_ ABSL_GUARDED_BY(mu_) = -1;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
  bool hold_ ABSL_GUARDED_BY(mu_) = false;
  int held_ ABSL_GUARDED_BY(mu_) = 0;
  int live_ ABSL_GUARDED_BY(mu_) = 0;
  int allocations_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
