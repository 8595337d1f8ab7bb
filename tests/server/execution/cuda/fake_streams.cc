// The streams and events of the fake device, and the work that they order.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "tests/kernels/cuda/host_warp.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd::execution::cuda {

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
