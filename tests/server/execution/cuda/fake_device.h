// A device made of host memory, which computes with the kernel's own code, as
// late as it may, and fails when a test says so.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/execution/cuda/device.h"
#include "tests/server/execution/cuda/lent_files.h"

namespace lossd::execution::cuda {

enum class DeviceCall {
  kAllocatePinned,
  kFreePinned,
  kAllocateDevice,
  kFreeDevice,
  kOpenIpc,
  kCloseIpc,
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

// Work of a stream.
struct DeviceWork {
  enum class Kind { kCopyIn, kKernel, kCopyOut };
  Kind kind;
  int stream;    // numbered from 0 in the order in which they were created
  size_t bytes;  // of copies
};

// What outlives a device: a test still asks when an executor has destroyed it.
// May be shared by several.
struct DeviceTraces {
  // Memory, lent memory included, streams and events that nobody even tried to
  // give back.
  std::atomic<int> live = 0;
  // Memory that was freed, copied over or destroyed while a stream still had
  // work with it; copies beyond the memory that there is.
  std::atomic<int> misuses = 0;
  // Calls that failed as asked for, or for want of memory.
  std::atomic<int> failures = 0;
};

// A stream does its work when somebody waits for it, not earlier: who reads
// results or reuses memory too soon is found out. A lost device forgets the
// work of its streams, and fails to take things back, which counts as given
// back nevertheless.
//
// The memory that it can open is a FakeAllocation's. Closed, it is unmapped: a
// kernel that still has work with it ends the process.
class FakeDevice final : public Device {
 public:
  explicit FakeDevice(DeviceTraces* traces, std::string name = "cuda/0");
  ~FakeDevice() override;

  // The `nth` call from now on (0: the next one) fails with `why`. If that is
  // sticky, so do all later calls. Adds to what is to fail already.
  void FailCall(int nth, absl::Status why);
  // Likewise, counting calls of one kind.
  void FailCall(DeviceCall call, int nth, absl::Status why);

  // No more memory of the device than this at once.
  void LimitMemory(size_t bytes);

  // From here on the streams work by themselves, as those of a device do: each
  // in its own order, but among each other as `seed` says, one piece of work
  // at a time and now and then none.
  void WorkByItself(unsigned seed);

  // From here on Wait() and Drain() block, until Release() for all streams, or
  // ReleaseNewest() for the one that was handed work last.
  void Hold();
  void Release();
  void ReleaseNewest();
  // Blocks until `count` threads are blocked by Hold().
  void AwaitHeld(int count);

  int calls(DeviceCall call) const;
  int live() const;
  // Everything that streams were handed, in that order.
  std::vector<DeviceWork> work() const;

  std::string_view name() const override { return name_; }
  const DeviceUuid& uuid() const override { return uuid_; }
  absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) override;
  absl::Status FreePinned(PinnedMemory memory) override;
  absl::StatusOr<DeviceMemory> AllocateDevice(size_t bytes) override;
  absl::Status FreeDevice(DeviceMemory memory) override;
  absl::StatusOr<DeviceMemory> OpenIpc(const IpcHandle& handle) override;
  absl::Status CloseIpc(DeviceMemory memory) override;
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
  using Range = std::span<const std::byte>;
  struct Work {
    std::function<void()> run;
    std::vector<Range> memory;  // what it reads and writes
  };
  struct FakeStream {
    int number = 0;
    std::deque<Work> work;
    uint64_t handed = 0;  // pieces of work so far
    uint64_t done = 0;
    int submitted = 0;  // when it was last handed work, in submissions_
    bool held = false;
  };
  struct FakeEvent {
    FakeStream* stream = nullptr;
    uint64_t after = 0;  // happens when so much of the stream is done
  };
  struct Failure {
    DeviceCall call;  // kCount: any
    int calls_left;   // of that kind, before the one that fails
    absl::Status why;
  };
  struct FreeBytes {
    void operator()(std::byte* data) const;
  };
  struct Bytes {
    std::unique_ptr<std::byte, FreeBytes> data;
    size_t size = 0;
    bool of_device = false;
  };

  // What every call begins with.
  absl::Status Begin(DeviceCall call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::byte* Allocate(size_t bytes, bool of_device)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Free(DeviceCall call, const std::byte* data);
  // From here to the end of its allocation; empty, and a misuse, if there is
  // none.
  Range Rest(const std::byte* data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `bytes` from there; a misuse if there are fewer.
  Range Within(const std::byte* data, size_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // False, and noted as a misuse: a stream other than `own` still has work with
  // it.
  bool CheckIdle(Range memory, const FakeStream* own = nullptr)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Submit(FakeStream& stream, DeviceWork::Kind kind, size_t bytes,
              Work work) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Finish(FakeStream& stream, uint64_t until)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WorkOn(FakeStream& stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void WorkUntilStopped(unsigned seed);
  std::vector<FakeStream*> StreamsWithWork() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  DeviceTraces* const traces_;
  const std::string name_;
  const DeviceUuid uuid_;
  mutable absl::Mutex mu_;
  std::map<const std::byte*, Bytes> memory_ ABSL_GUARDED_BY(mu_);
  OpenedFiles lent_ ABSL_GUARDED_BY(mu_);
  std::map<void*, std::unique_ptr<FakeStream>> streams_ ABSL_GUARDED_BY(mu_);
  std::map<void*, std::unique_ptr<FakeEvent>> events_ ABSL_GUARDED_BY(mu_);
  std::array<int, static_cast<size_t>(DeviceCall::kCount)> calls_
      ABSL_GUARDED_BY(mu_){};
  std::vector<DeviceWork> log_ ABSL_GUARDED_BY(mu_);
  size_t memory_left_ ABSL_GUARDED_BY(mu_) = size_t{1} << 40;
  int streams_made_ ABSL_GUARDED_BY(mu_) = 0;
  int submissions_ ABSL_GUARDED_BY(mu_) = 0;
  int held_threads_ ABSL_GUARDED_BY(mu_) = 0;
  bool holding_ ABSL_GUARDED_BY(mu_) = false;
  bool lost_ ABSL_GUARDED_BY(mu_) = false;
  bool by_itself_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<Failure> failures_ ABSL_GUARDED_BY(mu_);  // to come
  absl::Status why_lost_ ABSL_GUARDED_BY(mu_);
  std::thread worker_;  // of WorkByItself()
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
