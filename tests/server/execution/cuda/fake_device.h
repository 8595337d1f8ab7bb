// A device made of host memory. It computes with the kernels' own code, as late
// as it may, and fails when a test asks for it.
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
  kPin,
  kUnpin,
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
  kHappened,
  kWait,
  kDrain,
  kCount,
};

// A piece of work of a stream.
struct DeviceWork {
  enum class Kind { kCopyIn, kKernel, kCopyOut };
  Kind kind;
  int stream;    // numbered from 0 in the order in which they were created
  size_t bytes;  // of copies
};

// Pages of other owners that are pinned for all devices, and how many pieces of
// work use each. A lost device goes on using what it had work for. Thread-safe.
class PinnedPages {
 public:
  using Range = std::span<const std::byte>;
  void Add(Range pages);
  // Returns false if these are not pinned pages, or a device uses them.
  bool Remove(Range pages);
  // Counts work that begins (1) or ends (-1) to use bytes. Returns false if
  // they are not within pinned pages.
  bool Use(Range bytes, int change);
  size_t count() const;
  int uses() const;  // that have begun so far

 private:
  struct Pages {
    Range range;
    int uses = 0;
  };
  mutable absl::Mutex mu_;
  std::vector<Pages> pages_ ABSL_GUARDED_BY(mu_);
  int uses_ ABSL_GUARDED_BY(mu_) = 0;
};

// Counts that a test can read after the executor has destroyed the device.
// Several devices may share them.
struct DeviceTraces {
  // Memory (lent memory too), streams and events that nobody tried to release.
  std::atomic<int> live = 0;
  // Memory that was freed, overwritten or destroyed while a stream still used
  // it, and copies beyond the end of memory.
  std::atomic<int> misuses = 0;
  // Calls that failed because a test asked for it, or for lack of memory.
  std::atomic<int> failures = 0;
  PinnedPages pinned;
};

// A stream does its work when a thread waits for it, not earlier, so code that
// reads results or reuses memory too soon is found out. A lost device forgets
// the work of its streams and fails to release anything, which still counts as
// released.
//
// It can open the memory of a FakeAllocation. Closing unmaps it, so a kernel
// that still uses it ends the process.
class FakeDevice final : public Device {
 public:
  explicit FakeDevice(DeviceTraces* traces, std::string name = "cuda/0");
  ~FakeDevice() override;

  // Makes the `nth` call from now on (0 is the next one) fail with `why`, and
  // all later calls too if that is sticky. Earlier requests remain in force.
  void FailCall(int nth, absl::Status why);
  // Does this for the `nth` call of one kind; kCount stands for any kind.
  void FailCall(DeviceCall call, int nth, absl::Status why);

  // Limits the device's memory to so many bytes at once.
  void LimitMemory(size_t bytes);

  // Lets the streams work by themselves from now on, like those of a device.
  // Each works in its own order; `seed` decides the order among them, one piece
  // of work at a time, with pauses.
  void WorkByItself(unsigned seed);

  // Makes Wait() and Drain() block from now on, until Release() for all
  // streams, or ReleaseNewest() for the one that was given work last.
  void Hold();
  void Release();
  void ReleaseNewest();
  // Blocks until `count` threads are blocked by Hold().
  void AwaitHeld(int count);

  int calls(DeviceCall call) const;
  int live() const;
  // Returns all work that was submitted, in that order.
  std::vector<DeviceWork> work() const;

  std::string_view name() const override { return name_; }
  const DeviceUuid& uuid() const override { return uuid_; }
  absl::StatusOr<PinnedMemory> AllocatePinned(size_t bytes) override;
  absl::Status FreePinned(PinnedMemory memory) override;
  absl::Status Pin(PinnedMemory pages) override;
  absl::Status Unpin(PinnedMemory pages) override;
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
  absl::StatusOr<bool> Happened(Event event) override;
  absl::Status Wait(Event event) override;
  absl::Status Drain(Stream stream) override;

 private:
  using Range = std::span<const std::byte>;
  struct Work {
    std::function<void()> run;
    std::vector<Range> memory;  // that it reads or writes
    Range pinned = {};          // the part that is others' pinned pages
  };
  struct FakeStream {
    int number = 0;
    std::deque<Work> work;
    uint64_t handed = 0;  // pieces of work submitted so far
    uint64_t done = 0;
    int submitted = 0;  // the last value of submissions_ that was its own
    bool held = false;
  };
  struct FakeEvent {
    FakeStream* stream = nullptr;
    uint64_t after = 0;  // it happens when so many pieces are done
  };
  struct Failure {
    DeviceCall call;  // kCount stands for any
    int calls_left;   // before the one that fails
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

  // Begins every call: counts it, and fails it if a test asked for that.
  absl::Status Begin(DeviceCall call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::byte* Allocate(size_t bytes, bool of_device)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status Free(DeviceCall call, const std::byte* data);
  // Returns the memory from `data` to the end of its allocation; counts a
  // misuse and returns an empty range if there is none.
  Range Rest(const std::byte* data) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns `bytes` bytes at `data`; counts a misuse if there are fewer.
  Range Within(const std::byte* data, size_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns the host's side of a copy, and notes in `work` that it is used.
  // Other streams may use others' pinned pages, which clients share, too.
  void UseHost(const std::byte* data, size_t bytes, Work* work)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Returns whether no stream but `own` has work with the memory; counts a
  // misuse if one has.
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
  std::vector<Failure> failures_ ABSL_GUARDED_BY(mu_);  // that tests asked for
  absl::Status why_lost_ ABSL_GUARDED_BY(mu_);
  std::thread worker_;  // started by WorkByItself()
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_FAKE_DEVICE_H_
