#include "server/execution/cuda/slot.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "tests/kernels/owned_segment.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/cuda/segment_batch.h"

namespace lossd::execution::cuda {
namespace {

absl::Status Passing() { return absl::InternalError("asked for"); }
absl::Status Sticky() { return absl::UnavailableError("asked for"); }

class SlotTest : public ::testing::Test {
 protected:
  SlotTest() : device_(std::make_unique<FakeDevice>(&traces_)) { Make(); }
  void Make(uint64_t max_pinned_bytes = uint64_t{1} << 30) {
    slot_.reset();
    memory_ = std::make_unique<BatchMemory>(*device_, max_pinned_bytes);
    slot_ = *Slot::Create(*device_, *memory_);
  }
  // Expects the right bits, or an error, like the one that was asked for.
  absl::Status Compute(SegmentBatch& batch) {
    int shown = 0;
    const absl::Status status =
        slot_->Compute(batch.layout(), [&](const std::byte* output) {
          ++shown;
          EXPECT_EQ(batch.Differences(output), "");
        });
    EXPECT_EQ(shown, status.ok() ? 1 : 0);
    return status;
  }
  // Expects that no stream worked with memory that was freed or reused.
  void TearDown() override {
    slot_.reset();
    memory_.reset();
    device_.reset();
    EXPECT_EQ(traces_.misuses, 0);
    EXPECT_EQ(traces_.live, 0);
  }

  DeviceTraces traces_;
  std::unique_ptr<FakeDevice> device_;
  std::unique_ptr<BatchMemory> memory_;
  std::unique_ptr<Slot> slot_;
};

TEST_F(SlotTest, ComputesBatchesWithTheBitsOfTheCpu) {
  for (unsigned seed = 1000; seed < 1080; seed += 16) {
    SegmentBatch batch(seed, 16);
    EXPECT_TRUE(Compute(batch).ok());
  }
}

TEST_F(SlotTest, ABatchIsOneCopyInOneLaunchAndOneCopyOut) {
  SegmentBatch batch(1, 20);
  ASSERT_TRUE(Compute(batch).ok());
  EXPECT_EQ(device_->calls(DeviceCall::kCopyToDevice), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kLaunch), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kCopyToHost), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 0);
}

TEST_F(SlotTest, ASecondBatchOfTheSizeAllocatesNothing) {
  SegmentBatch batch(1, 4);
  ASSERT_TRUE(Compute(batch).ok());
  EXPECT_EQ(device_->live(), 4);  // two buffers, a stream, an event
  ASSERT_TRUE(Compute(batch).ok());
  EXPECT_EQ(device_->calls(DeviceCall::kAllocatePinned), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kAllocateDevice), 1);
}

TEST_F(SlotTest, MorePinnedMemoryThanAllowedIsNeverAskedFor) {
  Make(/*max_pinned_bytes=*/1000);
  SegmentBatch batch(1, 16);
  EXPECT_TRUE(absl::IsOutOfRange(Compute(batch)));
  EXPECT_EQ(device_->calls(DeviceCall::kAllocatePinned), 0);
}

TEST_F(SlotTest, WorksAgainAfterAnyCallHasFailedOnce) {
  SegmentBatch batch(7, 12);
  for (int nth = 0;; ++nth) {
    Make();
    traces_.failures = 0;
    device_->FailCall(nth, Passing());
    const absl::Status status = Compute(batch);
    if (traces_.failures == 0) break;
    EXPECT_EQ(status, Passing()) << "call " << nth;
    ASSERT_TRUE(Compute(batch).ok()) << "call " << nth;
  }
  device_->FailCall(1 << 30, Passing());
  // Two copies, a launch, an event and a wait can fail while work is under way.
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 5);
}

TEST_F(SlotTest, AFailedWaitIsFollowedByOneForTheWholeStream) {
  SegmentBatch batch(3, 4);
  device_->FailCall(DeviceCall::kWait, 0, Passing());
  EXPECT_EQ(Compute(batch), Passing());
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 1);
}

TEST_F(SlotTest, AStreamThatCannotBeDrainedIsALostDevice) {
  SegmentBatch batch(3, 4);
  device_->FailCall(DeviceCall::kRecord, 0, Passing());
  EXPECT_EQ(Compute(batch), Passing());
  device_->FailCall(DeviceCall::kCopyToHost, 0, Sticky());
  EXPECT_TRUE(IsSticky(Compute(batch)));
}

TEST_F(SlotTest, ALostDeviceIsNotAskedAgain) {
  SegmentBatch batch(3, 4);
  device_->FailCall(DeviceCall::kLaunch, 0, Sticky());
  EXPECT_TRUE(IsSticky(Compute(batch)));
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 0);
}

// One float32 segment of 5000 elements, and the bytes that are copied out.
class SlotCopies : public SlotTest {
 protected:
  size_t BytesOut(const kernels::Segment& segment) {
    const kernels::cuda::BatchItem item = {&segment, 1.0};
    const kernels::cuda::BatchLayout layout(std::span(&item, 1));
    EXPECT_TRUE(slot_->Compute(layout, [](const std::byte*) {}).ok());
    const DeviceWork last = device_->work().back();
    EXPECT_EQ(last.kind, DeviceWork::Kind::kCopyOut);
    return last.bytes;
  }
  static constexpr size_t kElements = 5000;
  static constexpr size_t kPartials = 3 * sizeof(kernels::BlockPartial);
  static size_t Aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

  std::vector<float> values_ = std::vector<float>(kElements, 0.5F);
  kernels::Piece piece_ = std::as_bytes(std::span(values_));
  std::vector<float> results_ = std::vector<float>(2 * kElements);
  kernels::Segment Segment() {
    kernels::Segment segment;
    segment.shape.rank = 1;
    segment.shape.dims[0] = segment.element_count = kElements;
    segment.logits.pieces = std::span(&piece_, 1);
    segment.targets.pieces = std::span(&piece_, 1);
    return segment;
  }
  std::byte* Results(size_t element) {
    return reinterpret_cast<std::byte*>(&results_[element]);
  }
};

TEST_F(SlotCopies, WithoutGradientAndLossesThePartialsAlone) {
  EXPECT_EQ(BytesOut(Segment()), kPartials);
}

TEST_F(SlotCopies, WithAGradientThatToo) {
  kernels::Segment segment = Segment();
  segment.gradient = Results(0);
  EXPECT_EQ(BytesOut(segment), Aligned(kPartials) + kElements * 4);
  segment.gradient_type = kernels::ElementType::kBFloat16;
  EXPECT_EQ(BytesOut(segment), Aligned(kPartials) + kElements * 2);
}

// Only the tables and the partials need pinned memory of the server.
TEST_F(SlotCopies, PinnedTensorsAreCopiedFromWhereTheyLie) {
  constexpr size_t kMany = 20'000;
  constexpr size_t kBytes = kMany * sizeof(float);
  std::vector<float> values(3 * kMany, 0.5F);
  const auto bytes = std::as_writable_bytes(std::span(values));
  traces_.pinned.Add(bytes);
  const kernels::Piece pieces[] = {bytes.first(kBytes),
                                   bytes.subspan(kBytes, kBytes)};
  kernels::Segment segment = Segment();
  segment.shape.dims[0] = segment.element_count = kMany;
  segment.logits.pieces = std::span(&pieces[0], 1);
  segment.targets.pieces = std::span(&pieces[1], 1);
  segment.logits.pinned = segment.targets.pinned = true;
  segment.gradient = bytes.data() + 2 * kBytes;
  segment.gradient_pinned = true;
  Make(/*max_pinned_bytes=*/kBytes);  // too few for a tensor and the rest
  EXPECT_EQ(BytesOut(segment), kBytes);
  EXPECT_EQ(device_->calls(DeviceCall::kCopyToDevice), 3);
  EXPECT_EQ(device_->calls(DeviceCall::kCopyToHost), 2);
  EXPECT_NE(values[2 * kMany], 0.5F);
  EXPECT_NE(values[3 * kMany - 1], 0.5F);
  EXPECT_TRUE(traces_.pinned.Remove(bytes));
}

// A batch from the host is slept for at once, as its thread's core is needed to
// stage others.
TEST_F(SlotCopies, ABatchOnTheDeviceIsPolledForBeforeItIsSleptFor) {
  kernels::Segment segment = Segment();
  EXPECT_EQ(BytesOut(segment), kPartials);
  EXPECT_EQ(device_->calls(DeviceCall::kHappened), 0);
  EXPECT_EQ(device_->calls(DeviceCall::kWait), 1);
  segment.device = 0;
  segment.logits.on_device = segment.targets.on_device = true;
  EXPECT_EQ(BytesOut(segment), kPartials);
  EXPECT_EQ(device_->calls(DeviceCall::kHappened), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kWait), 1);
  device_->Hold();
  std::thread computing([&] { EXPECT_EQ(BytesOut(segment), kPartials); });
  device_->AwaitHeld(1);
  EXPECT_EQ(device_->calls(DeviceCall::kWait), 2);
  device_->Release();
  computing.join();
}

TEST_F(SlotCopies, LossesOnlyWhereEachIsWanted) {
  kernels::Segment segment = Segment();
  segment.options.reduction = kernels::Reduction::kNone;
  segment.losses = Results(kElements);
  EXPECT_EQ(BytesOut(segment), Aligned(kPartials) + kElements * 4);
}

}  // namespace
}  // namespace lossd::execution::cuda
