#include "tests/server/execution/cuda/fake_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/kernels/cuda/host_warp.h"

namespace lossd::execution::cuda {
namespace {

size_t Index(DeviceCall call) { return static_cast<size_t>(call); }

}  // namespace

void FakeDevice::FreeBytes::operator()(std::byte* data) const {
  std::free(data);
}

FakeDevice::FakeDevice(DeviceTraces* traces, std::string name)
    : traces_(traces), name_(std::move(name)) {}

FakeDevice::~FakeDevice() { traces_->live += live(); }

void FakeDevice::FailCall(int nth, absl::Status why) {
  FailCall(DeviceCall::kCount, nth, std::move(why));
}

void FakeDevice::FailCall(DeviceCall call, int nth, absl::Status why) {
  absl::MutexLock lock(&mu_);
  failing_ = call;
  calls_to_failure_ = nth;
  failure_ = std::move(why);
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

int FakeDevice::live() const {
  absl::MutexLock lock(&mu_);
  return static_cast<int>(memory_.size() + streams_.size() + events_.size());
}

absl::Status FakeDevice::Begin(DeviceCall call) {
  ++calls_[Index(call)];
  if (lost_) return failure_;
  if (failing_ != DeviceCall::kCount && failing_ != call) {
    return absl::OkStatus();
  }
  if (calls_to_failure_ < 0 || calls_to_failure_-- > 0) return absl::OkStatus();
  traces_->failed = true;
  lost_ = IsSticky(failure_);
  for (auto& [handle, stream] : streams_) {
    if (lost_) stream->work.clear();
  }
  return failure_;
}

std::byte* FakeDevice::Allocate(size_t bytes) {
  constexpr size_t kAlignment = kernels::cuda::kTensorAlignment;
  const size_t rounded = (bytes / kAlignment + 1) * kAlignment;
  Bytes data(static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded)));
  // Bits that are no answer: what was never copied shows.
  std::memset(data.get(), 0xa5, rounded);
  std::byte* const address = data.get();
  memory_.emplace(address, std::move(data));
  return address;
}

absl::StatusOr<PinnedMemory> FakeDevice::AllocatePinned(size_t bytes) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kAllocatePinned);
  if (!status.ok()) return status;
  return PinnedMemory{Allocate(bytes), bytes};
}

absl::StatusOr<DeviceMemory> FakeDevice::AllocateDevice(size_t bytes) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kAllocateDevice);
  if (!status.ok()) return status;
  return DeviceMemory{Allocate(bytes), bytes};
}

absl::Status FakeDevice::FreePinned(PinnedMemory memory) {
  return Free(DeviceCall::kFreePinned, memory.data);
}

absl::Status FakeDevice::FreeDevice(DeviceMemory memory) {
  return Free(DeviceCall::kFreeDevice, memory.address);
}

absl::Status FakeDevice::Free(DeviceCall call, const std::byte* data) {
  if (data == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  const bool idle = CheckIdle(data);
  absl::Status status = Begin(call);
  // Memory in use is kept, so that the test fails instead of crashing.
  if (status.ok() && idle && memory_.erase(data) == 0) ++traces_->misuses;
  return status;
}

bool FakeDevice::CheckIdle(const std::byte* data) {
  const int before = traces_->misuses;
  for (const auto& [handle, stream] : streams_) {
    for (const Work& work : stream->work) {
      const auto& memory = work.memory;
      traces_->misuses +=
          static_cast<int>(std::count(memory.begin(), memory.end(), data));
    }
  }
  return traces_->misuses == before;
}

absl::StatusOr<Stream> FakeDevice::CreateStream() {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kCreateStream);
  if (!status.ok()) return status;
  auto stream = std::make_unique<FakeStream>();
  stream->held = holding_;
  void* const handle = stream.get();
  streams_.emplace(handle, std::move(stream));
  return Stream{handle};
}

absl::Status FakeDevice::DestroyStream(Stream stream) {
  if (stream.handle == nullptr) return absl::OkStatus();
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kDestroyStream);
  if (!status.ok()) return status;
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
  if (status.ok()) events_.erase(event.handle);
  return status;
}

void FakeDevice::Submit(Stream stream, Work work) {
  FakeStream& to = *streams_.at(stream.handle);
  to.submitted = ++submissions_;
  to.work.push_back(std::move(work));
}

absl::Status FakeDevice::CopyToDevice(DeviceMemory to, PinnedMemory from,
                                      size_t bytes, Stream stream) {
  absl::MutexLock lock(&mu_);
  CheckIdle(from.data);
  absl::Status status = Begin(DeviceCall::kCopyToDevice);
  if (!status.ok()) return status;
  if (bytes > std::min(to.size, from.size)) ++traces_->misuses;
  Submit(stream, {[=] { std::memcpy(to.address, from.data, bytes); },
                  {to.address, from.data}});
  return status;
}

absl::Status FakeDevice::CopyToHost(PinnedMemory to, DeviceMemory from,
                                    size_t bytes, Stream stream) {
  absl::MutexLock lock(&mu_);
  CheckIdle(to.data);
  absl::Status status = Begin(DeviceCall::kCopyToHost);
  if (!status.ok()) return status;
  if (bytes > std::min(to.size, from.size)) ++traces_->misuses;
  Submit(stream, {[=] { std::memcpy(to.data, from.address, bytes); },
                  {to.data, from.address}});
  return status;
}

absl::Status FakeDevice::Launch(const kernels::cuda::PackedBatch& batch,
                                Stream stream) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kLaunch);
  if (!status.ok()) return status;
  Submit(stream, {[batch] { kernels::cuda::ComputeOnHost(batch); },
                  {batch.input, batch.output}});
  return status;
}

absl::Status FakeDevice::Record(Event event, Stream stream) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kRecord);
  if (!status.ok()) return status;
  events_.at(event.handle)->stream = streams_.at(stream.handle).get();
  return status;
}

absl::Status FakeDevice::Wait(Event event) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kWait);
  if (!status.ok()) return status;
  return Finish(*events_.at(event.handle)->stream);
}

absl::Status FakeDevice::Drain(Stream stream) {
  absl::MutexLock lock(&mu_);
  absl::Status status = Begin(DeviceCall::kDrain);
  if (!status.ok()) return status;
  return Finish(*streams_.at(stream.handle));
}

absl::Status FakeDevice::Finish(FakeStream& stream) {
  ++held_threads_;
  auto released = [&stream] { return !stream.held; };
  mu_.Await(absl::Condition(&released));
  --held_threads_;
  if (lost_) return failure_;
  for (; !stream.work.empty(); stream.work.pop_front()) {
    stream.work.front().run();
  }
  return absl::OkStatus();
}

}  // namespace lossd::execution::cuda
