#include "server/execution/cuda/slot.h"

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/kernels/owned_segment.h"
#include "tests/server/execution/cuda/fake_device.h"
#include "tests/server/execution/cuda/segment_batch.h"

namespace lossd::execution::cuda {
namespace {

absl::Status Passing() { return absl::InternalError("asked for"); }
absl::Status Sticky() { return absl::UnavailableError("asked for"); }

class SlotTest : public ::testing::Test {
 protected:
  SlotTest() : device_(std::make_unique<FakeDevice>(&traces_)) {
    slot_ = *Slot::Create(*device_);
  }
  // Whatever happened, no stream worked with memory that was gone or reused.
  void TearDown() override {
    slot_.reset();
    device_.reset();
    EXPECT_EQ(traces_.misuses, 0);
  }

  DeviceTraces traces_;
  std::unique_ptr<FakeDevice> device_;
  std::unique_ptr<Slot> slot_;
};

TEST_F(SlotTest, ComputesBatchesWithTheBitsOfTheCpu) {
  for (unsigned seed = 1000; seed < 1080; seed += 16) {
    SegmentBatch batch(seed, 16);
    ASSERT_TRUE(slot_->Compute(batch.layout()).ok());
    EXPECT_EQ(batch.Differences(slot_->output()), "");
  }
}

TEST_F(SlotTest, ABatchIsOneCopyInOneLaunchAndOneCopyOut) {
  SegmentBatch batch(1, 20);
  ASSERT_TRUE(slot_->Compute(batch.layout()).ok());
  EXPECT_EQ(device_->calls(DeviceCall::kCopyToDevice), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kLaunch), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kCopyToHost), 1);
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 0);
}

TEST_F(SlotTest, BuffersGrowAndNeverShrink) {
  ASSERT_TRUE(slot_->Reserve(1000, 10).ok());
  const size_t small = slot_->input_capacity();
  EXPECT_GE(small, 1000u);
  ASSERT_TRUE(slot_->Reserve(small + 1, 10).ok());
  const size_t large = slot_->input_capacity();
  EXPECT_GT(large, small);
  const int allocations = device_->calls(DeviceCall::kAllocatePinned);
  ASSERT_TRUE(slot_->Reserve(10, 10).ok());
  ASSERT_TRUE(slot_->Reserve(large, slot_->output_capacity()).ok());
  EXPECT_EQ(slot_->input_capacity(), large);
  EXPECT_EQ(device_->calls(DeviceCall::kAllocatePinned), allocations);
}

TEST_F(SlotTest, GrowingOneSideLeavesTheOtherAlone) {
  ASSERT_TRUE(slot_->Reserve(1, 1).ok());
  const int allocations = device_->calls(DeviceCall::kAllocateDevice);
  ASSERT_TRUE(slot_->Reserve(1, 10 * slot_->output_capacity()).ok());
  EXPECT_EQ(device_->calls(DeviceCall::kAllocateDevice), allocations + 1);
}

TEST_F(SlotTest, GivesEverythingBack) {
  SegmentBatch batch(1, 4);
  ASSERT_TRUE(slot_->Compute(batch.layout()).ok());
  EXPECT_EQ(device_->live(), 6);  // four buffers, a stream, an event
  slot_.reset();
  EXPECT_EQ(device_->live(), 0);
}

TEST_F(SlotTest, WorksAgainAfterAnyCallHasFailedOnce) {
  SegmentBatch batch(7, 12);
  for (int nth = 0;; ++nth) {
    slot_ = *Slot::Create(*device_);
    traces_.failed = false;
    device_->FailCall(nth, Passing());
    const absl::Status status = slot_->Compute(batch.layout());
    if (!traces_.failed) break;
    EXPECT_EQ(status, Passing()) << "call " << nth;
    ASSERT_TRUE(slot_->Compute(batch.layout()).ok()) << "call " << nth;
    EXPECT_EQ(batch.Differences(slot_->output()), "") << "call " << nth;
  }
  device_->FailCall(1 << 30, Passing());
  // Four allocations, two copies, a launch, an event and a wait can fail.
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 5);
}

TEST_F(SlotTest, AFailedWaitIsFollowedByOneForTheWholeStream) {
  SegmentBatch batch(3, 4);
  device_->FailCall(DeviceCall::kWait, 0, Passing());
  EXPECT_EQ(slot_->Compute(batch.layout()), Passing());
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 1);
}

TEST_F(SlotTest, AStreamThatCannotBeDrainedIsALostDevice) {
  SegmentBatch batch(3, 4);
  device_->FailCall(DeviceCall::kRecord, 0, Passing());
  EXPECT_EQ(slot_->Compute(batch.layout()), Passing());
  device_->FailCall(DeviceCall::kCopyToHost, 0, Sticky());
  EXPECT_TRUE(IsSticky(slot_->Compute(batch.layout())));
}

TEST_F(SlotTest, ALostDeviceIsNotAskedAgain) {
  SegmentBatch batch(3, 4);
  device_->FailCall(DeviceCall::kLaunch, 0, Sticky());
  EXPECT_TRUE(IsSticky(slot_->Compute(batch.layout())));
  EXPECT_EQ(device_->calls(DeviceCall::kDrain), 0);
}

}  // namespace
}  // namespace lossd::execution::cuda
