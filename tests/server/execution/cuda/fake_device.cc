#include "tests/server/execution/cuda/fake_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>
#include <utility>

#include "tests/kernels/cuda/host_warp.h"

namespace lossd::execution::cuda {
namespace {

size_t Index(DeviceCall call) { return static_cast<size_t>(call); }

}  // namespace

void PinnedPages::Add(Range pages) {
  absl::MutexLock lock(&mu_);
  pages_.push_back({pages});
}

bool PinnedPages::Remove(Range pages) {
  absl::MutexLock lock(&mu_);
  return std::erase_if(pages_, [pages](const Pages& one) {
           return one.range.data() == pages.data() &&
                  one.range.size() == pages.size() && one.uses == 0;
         }) == 1;
}

bool PinnedPages::Use(Range bytes, int change) {
  absl::MutexLock lock(&mu_);
  for (Pages& pages : pages_) {
    const Range range = pages.range;
    if (bytes.data() < range.data() ||
        bytes.data() + bytes.size() > range.data() + range.size()) {
      continue;
    }
    pages.uses += change;
    uses_ += change > 0;
    return true;
  }
  return false;
}

int PinnedPages::uses() const {
  absl::MutexLock lock(&mu_);
  return uses_;
}

size_t PinnedPages::count() const {
  absl::MutexLock lock(&mu_);
  return pages_.size();
}

void FakeDevice::FreeBytes::operator()(std::byte* data) const {
  std::free(data);
}

FakeDevice::FakeDevice(DeviceTraces* traces, std::string name)
    : traces_(traces), name_(std::move(name)), uuid_(FakeUuid(name_)) {}

FakeDevice::~FakeDevice() {
  traces_->live += live();
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
  }
  if (worker_.joinable()) worker_.join();
}

void FakeDevice::FailCall(int nth, absl::Status why) {
  FailCall(DeviceCall::kCount, nth, std::move(why));
}

void FakeDevice::FailCall(DeviceCall call, int nth, absl::Status why) {
  absl::MutexLock lock(&mu_);
  failures_.push_back({call, nth, std::move(why)});
}

void FakeDevice::LimitMemory(size_t bytes) {
  absl::MutexLock lock(&mu_);
  memory_left_ = bytes;
}

void FakeDevice::Hold() {
  absl::MutexLock lock(&mu_);
  holding_ = true;
  for (auto& [handle, stream] : streams_) stream->held = true;
}

void FakeDevice::Release() {
  absl::MutexLock lock(&mu_);
  holding_ = false;
  for (auto& [handle, stream] : streams_) stream->held = false;
}

void FakeDevice::ReleaseNewest() {
  absl::MutexLock lock(&mu_);
  const auto newest = std::max_element(
      streams_.begin(), streams_.end(), [](const auto& a, const auto& b) {
        return a.second->submitted < b.second->submitted;
      });
  newest->second->held = false;
}

void FakeDevice::AwaitHeld(int count) {
  absl::MutexLock lock(&mu_);
  auto there = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return held_threads_ == count;
  };
  mu_.Await(absl::Condition(&there));
}

int FakeDevice::calls(DeviceCall call) const {
  absl::MutexLock lock(&mu_);
  return calls_[Index(call)];
}

std::vector<DeviceWork> FakeDevice::work() const {
  absl::MutexLock lock(&mu_);
  return log_;
}

int FakeDevice::live() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(memory_.size() + streams_.size() + events_.size()) +
         lent_.count();
}

absl::Status FakeDevice::Begin(DeviceCall call) {
  ++calls_[Index(call)];
  if (lost_) return why_lost_;
  absl::Status status;
  std::erase_if(failures_, [&](Failure& failure) {
    const bool counts =
        failure.call == DeviceCall::kCount || failure.call == call;
    if (!counts || failure.calls_left-- > 0) return false;
    status = failure.why;
    return true;
  });
  if (status.ok()) return status;
  ++traces_->failures;
  if (!IsSticky(status)) return status;
  lost_ = true;
  why_lost_ = status;
  for (auto& [handle, stream] : streams_) stream->work.clear();
  return status;
}

std::byte* FakeDevice::Allocate(size_t bytes, bool of_device) {
  constexpr size_t kAlignment = kernels::cuda::kTensorAlignment;
  const size_t rounded = (bytes / kAlignment + 1) * kAlignment;
  Bytes made;
  made.data.reset(
      static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  made.size = bytes;
  made.of_device = of_device;
  // Bits that are no right answer, so that memory never copied shows.
  std::memset(made.data.get(), 0xa5, rounded);
  std::byte* const address = made.data.get();
  memory_.emplace(address, std::move(made));
  return address;
}

absl::StatusOr<PinnedMemory> FakeDevice::AllocatePinned(size_t bytes) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kAllocatePinned);
  if (!status.ok()) return status;
  return PinnedMemory{Allocate(bytes, false), bytes};
}

absl::Status FakeDevice::Pin(PinnedMemory pages) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kPin);
  if (status.ok()) traces_->pinned.Add({pages.data, pages.size});
  return status;
}

absl::Status FakeDevice::Unpin(PinnedMemory pages) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kUnpin);
  if (status.ok() && !traces_->pinned.Remove({pages.data, pages.size})) {
    ++traces_->misuses;
  }
  return status;
}

absl::StatusOr<DeviceMemory> FakeDevice::AllocateDevice(size_t bytes) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kAllocateDevice);
  if (!status.ok()) return status;
  if (bytes > memory_left_) {
    ++traces_->failures;
    return absl::ResourceExhaustedError("no memory left");
  }
  memory_left_ -= bytes;
  return DeviceMemory{Allocate(bytes, true), bytes};
}

absl::Status FakeDevice::FreePinned(PinnedMemory memory) {
  return Free(DeviceCall::kFreePinned, memory.data);
}

absl::Status FakeDevice::FreeDevice(DeviceMemory memory) {
  return Free(DeviceCall::kFreeDevice, memory.address);
}

absl::StatusOr<DeviceMemory> FakeDevice::OpenIpc(const IpcHandle& handle) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kOpenIpc);
  if (!status.ok()) return status;
  return lent_.Open(handle);
}

absl::Status FakeDevice::CloseIpc(DeviceMemory memory) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kCloseIpc);
  if ((status.ok() || lost_) && !lent_.Close(memory)) ++traces_->misuses;
  return status;
}

absl::Status FakeDevice::Free(DeviceCall call, const std::byte* data) {
  if (data == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  const auto found = memory_.find(data);
  if (found == memory_.end()) {
    if (!lost_) ++traces_->misuses;
    return Begin(call);
  }
  const bool idle = CheckIdle({data, found->second.size});
  absl::Status status = Begin(call);
  // Memory in use is not freed, so that the test fails instead of crashing.
  if ((status.ok() || lost_) && idle) {
    if (found->second.of_device) memory_left_ += found->second.size;
    memory_.erase(found);
  }
  return status;
}

FakeDevice::Range FakeDevice::Rest(const std::byte* data) {
  auto after = memory_.upper_bound(data);
  if (after != memory_.begin()) {
    const auto& [begin, bytes] = *std::prev(after);
    const auto offset = static_cast<size_t>(data - begin);
    if (offset <= bytes.size) return {data, bytes.size - offset};
  }
  ++traces_->misuses;
  return {};
}

FakeDevice::Range FakeDevice::Within(const std::byte* data, size_t bytes) {
  const Range rest = Rest(data);
  if (rest.size() < bytes) ++traces_->misuses;
  return rest.first(std::min(rest.size(), bytes));
}

void FakeDevice::UseHost(const std::byte* data, size_t bytes, Work* work) {
  const Range range(data, bytes);
  if (traces_->pinned.Use(range, 1)) {
    work->pinned = range;
    return;
  }
  work->memory.push_back(Within(data, bytes));
  CheckIdle(work->memory.back());
}

bool FakeDevice::CheckIdle(Range memory, const FakeStream* own) {
  const auto overlaps = [memory](Range used) {
    return used.data() < memory.data() + memory.size() &&
           memory.data() < used.data() + used.size();
  };
  bool idle = true;
  for (const auto& [handle, stream] : streams_) {
    if (stream.get() == own) continue;
    for (const Work& work : stream->work) {
      idle = idle &&
             std::none_of(work.memory.begin(), work.memory.end(), overlaps);
    }
  }
  if (!idle) ++traces_->misuses;
  return idle;
}

absl::StatusOr<Stream> FakeDevice::CreateStream() {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kCreateStream);
  if (!status.ok()) return status;
  auto stream = std::make_unique<FakeStream>();
  stream->held = holding_;
  stream->number = streams_made_++;
  void* const handle = stream.get();
  streams_.emplace(handle, std::move(stream));
  return Stream{handle};
}

absl::Status FakeDevice::DestroyStream(Stream stream) {
  if (stream.handle == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kDestroyStream);
  if (!status.ok() && !lost_) return status;
  if (!streams_.at(stream.handle)->work.empty()) ++traces_->misuses;
  streams_.erase(stream.handle);
  return status;
}

absl::StatusOr<Event> FakeDevice::CreateEvent() {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kCreateEvent);
  if (!status.ok()) return status;
  auto event = std::make_unique<FakeEvent>();
  void* const handle = event.get();
  events_.emplace(handle, std::move(event));
  return Event{handle};
}

absl::Status FakeDevice::DestroyEvent(Event event) {
  if (event.handle == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kDestroyEvent);
  if (status.ok() || lost_) events_.erase(event.handle);
  return status;
}

void FakeDevice::Submit(FakeStream& stream, DeviceWork::Kind kind, size_t bytes,
                        Work work) {
  log_.push_back({kind, stream.number, bytes});
  stream.submitted = ++submissions_;
  ++stream.handed;
  stream.work.push_back(std::move(work));
}

absl::Status FakeDevice::CopyToDevice(DeviceMemory to, PinnedMemory from,
                                      size_t bytes, Stream stream) {
  absl::MutexLock lock(&mu_);
  FakeStream& in = *streams_.at(stream.handle);
  const Range target = Within(to.address, bytes);
  CheckIdle(target, &in);
  absl::Status status = Begin(DeviceCall::kCopyToDevice);
  if (!status.ok()) return status;
  Work work = {[=] { std::memcpy(to.address, from.data, bytes); }, {target}};
  UseHost(from.data, bytes, &work);
  Submit(in, DeviceWork::Kind::kCopyIn, bytes, std::move(work));
  return status;
}

absl::Status FakeDevice::CopyToHost(PinnedMemory to, DeviceMemory from,
                                    size_t bytes, Stream stream) {
  absl::MutexLock lock(&mu_);
  FakeStream& in = *streams_.at(stream.handle);
  const Range source = Within(from.address, bytes);
  CheckIdle(source, &in);
  absl::Status status = Begin(DeviceCall::kCopyToHost);
  if (!status.ok()) return status;
  Work work = {[=] { std::memcpy(to.data, from.address, bytes); }, {source}};
  UseHost(to.data, bytes, &work);
  Submit(in, DeviceWork::Kind::kCopyOut, bytes, std::move(work));
  return status;
}

absl::Status FakeDevice::Launch(const kernels::cuda::PackedBatch& batch,
                                Stream stream) {
  absl::MutexLock lock(&mu_);
  FakeStream& in = *streams_.at(stream.handle);
  const Range input = Rest(batch.input);
  CheckIdle(input, &in);
  absl::Status status = Begin(DeviceCall::kLaunch);
  if (!status.ok()) return status;
  Submit(in, DeviceWork::Kind::kKernel, 0,
         {[batch] { kernels::cuda::ComputeOnHost(batch); },
          {input, Rest(batch.output)}});
  return status;
}

absl::Status FakeDevice::Record(Event event, Stream stream) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kRecord);
  if (!status.ok()) return status;
  FakeEvent& recorded = *events_.at(event.handle);
  recorded.stream = streams_.at(stream.handle).get();
  recorded.after = recorded.stream->handed;
  return status;
}

// A device that works by itself is fast here, so that a run makes the same
// calls each time.
absl::StatusOr<bool> FakeDevice::Happened(Event event) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kHappened);
  if (!status.ok()) return status;
  const FakeEvent& awaited = *events_.at(event.handle);
  if (awaited.stream->held) return false;
  status = Finish(*awaited.stream, awaited.after);
  if (!status.ok()) return status;
  return true;
}

absl::Status FakeDevice::Wait(Event event) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kWait);
  if (!status.ok()) return status;
  const FakeEvent& awaited = *events_.at(event.handle);
  return Finish(*awaited.stream, awaited.after);
}

absl::Status FakeDevice::Drain(Stream stream) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kDrain);
  if (!status.ok()) return status;
  FakeStream& drained = *streams_.at(stream.handle);
  return Finish(drained, drained.handed);
}

absl::Status FakeDevice::Finish(FakeStream& stream, uint64_t until) {
  ++held_threads_;
  const auto ready = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return lost_ || (by_itself_ ? stream.done >= until : !stream.held);
  };
  mu_.Await(absl::Condition(&ready));
  --held_threads_;
  if (lost_) return why_lost_;
  while (stream.done < until) WorkOn(stream);
  return absl::OkStatus();
}

void FakeDevice::WorkOn(FakeStream& stream) {
  stream.work.front().run();
  const Range pinned = stream.work.front().pinned;
  if (!pinned.empty()) traces_->pinned.Use(pinned, -1);
  stream.work.pop_front();
  ++stream.done;
}

std::vector<FakeDevice::FakeStream*> FakeDevice::StreamsWithWork() {
  std::vector<FakeStream*> found;
  for (auto& [handle, stream] : streams_) {
    if (!stream->work.empty() && !stream->held) found.push_back(stream.get());
  }
  // Sorted by number: the order of addresses differs from run to run.
  std::sort(found.begin(), found.end(),
            [](const auto* a, const auto* b) { return a->number < b->number; });
  return found;
}

void FakeDevice::WorkByItself(unsigned seed) {
  {
    absl::MutexLock lock(&mu_);
    by_itself_ = true;
  }
  worker_ = std::thread([this, seed] { WorkUntilStopped(seed); });
}

void FakeDevice::WorkUntilStopped(unsigned seed) {
  std::mt19937 random(seed);
  for (;;) {
    {
      absl::MutexLock lock(&mu_);
      const auto something = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
        return stopped_ || !StreamsWithWork().empty();
      };
      mu_.Await(absl::Condition(&something));
      if (stopped_) return;
      const std::vector<FakeStream*> streams = StreamsWithWork();
      WorkOn(*streams[random() % streams.size()]);
    }
    for (unsigned turns = random() % 8; turns > 0; --turns) {
      std::this_thread::yield();
    }
  }
}

}  // namespace lossd::execution::cuda
