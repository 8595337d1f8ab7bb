// A device made of host memory, which computes with the kernel's own code, as
// late as it may, and fails when a test says so.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_

#include <array>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/execution/cuda/device.h"

namespace lossd::execution::cuda {

enum class DeviceCall {
  kAllocatePinned,
  kFreePinned,
  kAllocateDevice,
  kFreeDevice,
  kCreateStream,
  kDestroyStream,
  kCreateEvent,
  kDestroyEvent,
  kCopyToDevice,
  kCopyToHost,
  kLaunch,
  kRecord,
  kWait,
  kDrain,
  kCount,
};

// What outlives a device: a test still asks when an executor has destroyed it.
struct DeviceTraces {
  int live = 0;  // memory, streams and events that were not given back
  // Memory that was freed, copied over or destroyed while a stream still had
  // work with it.
  int misuses = 0;
  bool failed = false;  // the failure that was asked for has happened
};

// A stream does its work when somebody waits for it, not earlier: who reads
// results or reuses memory too soon is found out. A lost device forgets the
// work of its streams.
class FakeDevice final : public Device {
 public:
  explicit FakeDevice(DeviceTraces* traces, std::string name = "cuda/0");
  ~FakeDevice() override;

  // The `nth` call from now on (0: the next one) fails with `why`. If that is
  // sticky, so do all later calls.
  void FailCall(int nth, absl::Status why);
  // Likewise, counting calls of one kind.
  void FailCall(DeviceCall call, int nth, absl::Status why);

  // From here on Wait() and Drain() block, until Release() for all streams, or
  // ReleaseNewest() for the one that was handed work last.
  void Hold();
  void Release();
  void ReleaseNewest();
  // Blocks until `count` threads are blocked by Hold().
  void AwaitHeld(int count);

  int calls(DeviceCall call) const;
  int live() const;

  std::string_view name() const override { return name_; }
  absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) override;
  absl::Status FreePinned(PinnedMemory memory) override;
  absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) override;
  absl::Status FreeDevice(DeviceMemory memory) override;
  absl::StatusOr<Stream> CreateStream() override;
  absl::Status DestroyStream(Stream stream) override;
  absl::StatusOr<Event> CreateEvent() override;
  absl::Status DestroyEvent(Event event) override;
  absl::Status CopyToDevice(DeviceMemory to, PinnedMemory from, size_t bytes,
                            Stream stream) override;
  absl::Status CopyToHost(PinnedMemory to, DeviceMemory from, size_t bytes,
                          Stream stream) override;
  absl::Status Launch(const kernels::cuda::PackedBatch& batch,
                      Stream stream) override;
  absl::Status Record(Event event, Stream stream) override;
  absl::Status Wait(Event event) override;
  absl::Status Drain(Stream stream) override;

 private:
  struct Work {
    std::function<void()> run;
    std::vector<const std::byte*> memory;  // what it reads and writes
  };
  struct FakeStream {
    std::deque<Work> work;
    int submitted = 0;  // when it was last handed work, in submissions_
    bool held = false;
  };
  struct FakeEvent {
    FakeStream* stream = nullptr;
  };
  struct FreeBytes {
    void operator()(std::byte* data) const;
  };
  using Bytes = std::unique_ptr<std::byte, FreeBytes>;

  // What every call begins with.
  absl::Status Begin(DeviceCall call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::byte* Allocate(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Free(DeviceCall call, const std::byte* data);
  // False, and noted as a misuse: a stream still has work with it.
  bool CheckIdle(const std::byte* data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Submit(Stream stream, Work work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Finish(FakeStream& stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  DeviceTraces* const traces_;
  const std::string name_;
  mutable absl::Mutex mu_;
  std::map<const std::byte*, Bytes> memory_ ABSL_GUARDED_BY(mu_);
  std::map<void*, std::unique_ptr<FakeStream>> streams_ ABSL_GUARDED_BY(mu_);
  std::map<void*, std::unique_ptr<FakeEvent>> events_ ABSL_GUARDED_BY(mu_);
  std::array<int, static_cast<size_t>(DeviceCall::kCount)> calls_
      ABSL_GUARDED_BY(mu_){};
  int submissions_ ABSL_GUARDED_BY(mu_) = 0;
  int held_threads_ ABSL_GUARDED_BY(mu_) = 0;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  bool lost_ ABSL_GUARDED_BY(mu_) = false;
  // The failure to come: kCount counts calls of every kind.
  DeviceCall failing_ ABSL_GUARDED_BY(mu_) = DeviceCall::kCount;
  int calls_to_failure_ ABSL_GUARDED_BY(mu_) = -1;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
