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

}  // namespace lossd::execution::cuda
