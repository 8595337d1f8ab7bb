#include "bench/pipeline/pipeline_rates.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <functional>
#include <latch>
#include <limits>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/cuda/batch_layout.h"
#include "server/execution/cuda/slot.h"

namespace lossd::bench {
namespace {

using execution::cuda::BatchMemory;
using execution::cuda::Device;
using execution::cuda::DeviceMemory;
using execution::cuda::Event;
using execution::cuda::GiveBack;
using execution::cuda::PinnedMemory;
using execution::cuda::Slot;
using execution::cuda::Stream;
using kernels::ByteSize;
using kernels::ElementType;

// Returns small logits of both signs, or targets of 0 and 1. No kernel takes
// longer for some numbers than for others as long as none is a NaN.
std::vector<std::byte> Numbers(ElementType type, uint64_t count, bool logits) {
  std::vector<std::byte> bytes(ByteSize(type, count));
  if (type == ElementType::kBit) {
    for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = std::byte(k * 37);
    return bytes;
  }
  const size_t size = ByteSize(type, 1);
  for (uint64_t i = 0; i < count; ++i) {
    const float number = logits ? static_cast<float>(i % 1021) / 64 - 8
                                : static_cast<float>(i % 2);
    // A bfloat16 is the upper half of a float32.
    const uint32_t bits =
        std::bit_cast<uint32_t>(number) >> (size == 2 ? 16 : 0);
    std::memcpy(bytes.data() + i * size, &bits, size);
  }
  return bytes;
}

// A batch of one slot, in pageable memory.
class HostBatch {
 public:
  explicit HostBatch(const PipelineLoad& load)
      : logits_(Numbers(load.logits, load.elements, true)),
        targets_(Numbers(load.targets, load.elements, false)),
        gradient_(ByteSize(load.logits, load.elements)) {
    segment_.shape = {1, {load.elements}};
    segment_.element_count = load.elements;
    segment_.logits = {load.logits, {&pieces_[0], 1}};
    segment_.targets = {load.targets, {&pieces_[1], 1}};
    segment_.gradient_type = load.logits;
    segment_.gradient = gradient_.data();
    const kernels::cuda::BatchItem item = {
        &segment_, 1 / static_cast<double>(load.elements)};
    layout_ = std::make_unique<kernels::cuda::BatchLayout>(std::span(&item, 1));
  }
  HostBatch(const HostBatch&) = delete;
  HostBatch& operator=(const HostBatch&) = delete;

  const kernels::cuda::BatchLayout& layout() const { return *layout_; }

 private:
  std::vector<std::byte> logits_, targets_, gradient_;
  kernels::Piece pieces_[2] = {logits_, targets_};
  kernels::Segment segment_;
  std::unique_ptr<kernels::cuda::BatchLayout> layout_;
};

// Repeats each of `turns` on a thread of its own for `time`. The threads begin
// together, after one turn each. Returns the turns a second of each thread, or
// the first error.
absl::StatusOr<std::vector<double>> TurnRates(
    const std::vector<std::function<absl::Status()>>& turns,
    absl::Duration time, const Clock& clock) {
  std::vector<double> rates(turns.size());
  std::vector<absl::Status> statuses(turns.size());
  std::latch ready(static_cast<ptrdiff_t>(turns.size()));
  std::vector<std::thread> threads;
  for (size_t k = 0; k < turns.size(); ++k) {
    threads.emplace_back([&, k] {
      absl::Status status = turns[k]();
      ready.arrive_and_wait();
      const absl::Time start = clock.Now();
      absl::Time now = start;
      double done = 0;
      while (status.ok() && now - start < time) {
        status = turns[k]();
        now = clock.Now();
        ++done;
      }
      statuses[k] = status;
      rates[k] = done / absl::ToDoubleSeconds(now - start);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return rates;
}

// Buffers and a stream for a thread that works without a Slot.
class Lane {
 public:
  explicit Lane(Device& device) : device_(device) {}
  ~Lane() {
    if (stream_.handle != nullptr) {
      GiveBack([this] { return device_.Drain(stream_); });
    }
    GiveBack([this] { return device_.DestroyEvent(event_); });
    GiveBack([this] { return device_.DestroyStream(stream_); });
    GiveBack([this] { return device_.FreeDevice(memory_); });
    GiveBack([this] { return device_.FreePinned(pinned_); });
  }
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  absl::Status Open(size_t bytes) {
    absl::Status status = Keep(device_.CreateStream(), stream_);
    if (status.ok()) status = Keep(device_.CreateEvent(), event_);
    if (status.ok()) status = Keep(device_.AllocatePinned(bytes), pinned_);
    if (status.ok()) status = Keep(device_.AllocateDevice(bytes), memory_);
    return status;
  }
  const PinnedMemory& pinned() const { return pinned_; }
  const DeviceMemory& memory() const { return memory_; }
  Stream stream() const { return stream_; }

  // Calls `submit`, which submits work to the stream, and waits for its end.
  absl::Status Do(absl::FunctionRef<absl::Status()> submit) {
    absl::Status status = submit();
    if (status.ok()) status = device_.Record(event_, stream_);
    return status.ok() ? device_.Wait(event_) : status;
  }

 private:
  template <typename Handle>
  static absl::Status Keep(absl::StatusOr<Handle> made, Handle& handle) {
    if (made.ok()) handle = *made;
    return made.status();
  }

  Device& device_;
  Stream stream_;
  Event event_;
  PinnedMemory pinned_;
  DeviceMemory memory_;
};

kernels::cuda::PackedBatch BatchIn(const Lane& lane,
                                   const kernels::cuda::BatchLayout& layout) {
  std::byte* const address = lane.memory().address;
  return layout.At(address,
                   address + kernels::cuda::TensorPlace(layout.input_bytes()));
}

absl::Status GoThrough(Device& device, Lane& lane,
                       const kernels::cuda::BatchLayout& layout) {
  const uint64_t at = kernels::cuda::TensorPlace(layout.input_bytes());
  const DeviceMemory output = {lane.memory().address + at,
                               lane.memory().size - at};
  return lane.Do([&] {
    absl::Status status = device.CopyToDevice(
        lane.memory(), lane.pinned(), layout.input_bytes(), lane.stream());
    if (status.ok()) {
      status = device.Launch(BatchIn(lane, layout), lane.stream());
    }
    if (!status.ok()) return status;
    return device.CopyToHost({lane.pinned().data + at, lane.pinned().size - at},
                             output, layout.output_bytes(), lane.stream());
  });
}

absl::StatusOr<double> Sum(absl::StatusOr<std::vector<double>> rates) {
  if (!rates.ok()) return rates.status();
  double sum = 0;
  for (const double rate : *rates) sum += rate;
  return sum;
}

}  // namespace

uint64_t BytesIn(const PipelineLoad& load) {
  return ByteSize(load.logits, load.elements) +
         ByteSize(load.targets, load.elements);
}
uint64_t BytesOut(const PipelineLoad& load) {
  return ByteSize(load.logits, load.elements);
}

absl::StatusOr<double> StagedRate(Device& device, const PipelineLoad& load,
                                  const Clock& clock) {
  BatchMemory memory(device, std::numeric_limits<uint64_t>::max() / 2);
  std::vector<std::unique_ptr<HostBatch>> batches;
  std::vector<std::unique_ptr<Slot>> slots;
  std::vector<std::function<absl::Status()>> turns;
  for (int k = 0; k < load.slots; ++k) {
    auto slot = Slot::Create(device, memory);
    if (!slot.ok()) return slot.status();
    slots.push_back(*std::move(slot));
    batches.push_back(std::make_unique<HostBatch>(load));
    turns.push_back(
        [slot = slots.back().get(), &layout = batches.back()->layout()] {
          return slot->Compute(layout, [&](const std::byte* output) {
            layout.CopyResults(0, output);
          });
        });
  }
  return Sum(TurnRates(turns, load.time, clock));
}

absl::StatusOr<double> PinnedRate(Device& device, const PipelineLoad& load,
                                  const Clock& clock) {
  const HostBatch batch(load);
  const kernels::cuda::BatchLayout& layout = batch.layout();
  std::vector<std::unique_ptr<Lane>> lanes;
  std::vector<std::function<absl::Status()>> turns;
  for (int k = 0; k < load.slots; ++k) {
    lanes.push_back(std::make_unique<Lane>(device));
    Lane& lane = *lanes.back();
    const absl::Status status =
        lane.Open(kernels::cuda::TensorPlace(layout.input_bytes()) +
                  layout.output_bytes());
    if (!status.ok()) return status;
    layout.Stage(BatchIn(lane, layout), lane.pinned().data);
    turns.push_back([&] { return GoThrough(device, lane, layout); });
  }
  return Sum(TurnRates(turns, load.time, clock));
}

absl::StatusOr<BusRates> MeasureBus(Device& device, uint64_t bytes,
                                    absl::Duration time, const Clock& clock) {
  Lane in(device);
  Lane out(device);
  for (Lane* lane : {&in, &out}) {
    if (absl::Status status = lane->Open(bytes); !status.ok()) return status;
  }
  const std::function<absl::Status()> to_device = [&] {
    return in.Do([&] {
      return device.CopyToDevice(in.memory(), in.pinned(), bytes, in.stream());
    });
  };
  const std::function<absl::Status()> to_host = [&] {
    return out.Do([&] {
      return device.CopyToHost(out.pinned(), out.memory(), bytes, out.stream());
    });
  };
  const auto one = TurnRates({to_device}, time, clock);
  const auto other = TurnRates({to_host}, time, clock);
  const auto both = TurnRates({to_device, to_host}, time, clock);
  for (const auto& rates : {one.status(), other.status(), both.status()}) {
    if (!rates.ok()) return rates;
  }
  const auto each = static_cast<double>(bytes);
  return BusRates{(*one)[0] * each, (*other)[0] * each, (*both)[0] * each,
                  (*both)[1] * each};
}

}  // namespace lossd::bench
