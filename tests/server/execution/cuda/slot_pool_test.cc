#include "server/execution/cuda/slot_pool.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/synchronization/notification.h"
#include "tests/kernels/owned_segment.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd::execution::cuda {
namespace {

TEST(SlotPool, LendsEverySlotToOneUserAtATime) {
  FakeDevice device;
  auto pool = SlotPool::Create(device, 2).value();
  SlotLease first = pool->TryAcquire();
  SlotLease second = pool->TryAcquire();
  ASSERT_TRUE(first.held());
  ASSERT_TRUE(second.held());
  EXPECT_NE(first.operator->(), second.operator->());
  EXPECT_FALSE(pool->TryAcquire().held());
  Slot* const returned = second.operator->();
  second = SlotLease();
  EXPECT_EQ(pool->TryAcquire().operator->(), returned);
}

TEST(SlotPool, AcquireWaitsForALeaseToComeBack) {
  FakeDevice device;
  auto pool = SlotPool::Create(device, 1).value();
  auto lease = std::make_unique<SlotLease>(pool->Acquire());
  absl::Notification got;
  std::thread waiter([&] {
    EXPECT_TRUE(pool->Acquire().held());
    got.Notify();
  });
  EXPECT_FALSE(got.HasBeenNotified());
  lease.reset();
  got.WaitForNotification();
  waiter.join();
  EXPECT_EQ(pool->free_slots(), 1);
}

TEST(SlotPool, CloseEndsTheWaiting) {
  FakeDevice device;
  auto pool = SlotPool::Create(device, 1).value();
  SlotLease lease = pool->Acquire();
  std::thread waiter([&] { EXPECT_FALSE(pool->Acquire().held()); });
  pool->Close();
  waiter.join();
  EXPECT_TRUE(lease.held());
}

TEST(SlotPool, GivesEverythingBackWhereverItsCreationFails) {
  for (int call = 0; call < 4; ++call) {
    FakeDevice device;
    device.FailCall(call, absl::ResourceExhaustedError("full"));
    EXPECT_FALSE(SlotPool::Create(device, 2).ok());
    EXPECT_EQ(device.live(), 0) << "call " << call;
  }
}

class SlotTest : public testing::Test {
 protected:
  kernels::cuda::BatchLayout Layout(kernels::OwnedSegment& owned) {
    const kernels::cuda::BatchItem item = {&owned.segment, 1};
    return kernels::cuda::BatchLayout({&item, 1});
  }
  std::unique_ptr<kernels::OwnedSegment> Segment(uint64_t n) {
    auto owned = std::make_unique<kernels::OwnedSegment>(
        kernels::ElementType::kFloat32, std::vector<uint64_t>{n});
    owned->SetLogits(std::vector<double>(n, 1));
    owned->SetTargets(kernels::ElementType::kFloat32,
                      std::vector<double>(n, 0));
    return owned;
  }
  FakeDevice device_;
};

TEST_F(SlotTest, BuffersGrowAndNeverShrink) {
  auto slot = Slot::Create(device_).value();
  const auto small = Segment(10);
  const auto large = Segment(300000);
  ASSERT_TRUE(slot->Compute(Layout(*large)).ok());
  const int allocations = device_.allocations();
  const size_t capacity = slot->input_capacity();
  EXPECT_GE(capacity, 2 * 4 * 300000u);
  ASSERT_TRUE(slot->Compute(Layout(*small)).ok());
  ASSERT_TRUE(slot->Compute(Layout(*large)).ok());
  EXPECT_EQ(device_.allocations(), allocations);
  EXPECT_EQ(slot->input_capacity(), capacity);
}

TEST_F(SlotTest, ComputesAgainAfterAFailureAtAnyCall) {
  const auto owned = Segment(5000);
  const auto layout = Layout(*owned);
  for (int call = 0; call < 9; ++call) {
    auto slot = Slot::Create(device_).value();
    device_.FailCall(call, absl::InternalError("broken"));
    EXPECT_EQ(slot->Compute(layout).code(), absl::StatusCode::kInternal)
        << call;
    EXPECT_TRUE(slot->Compute(layout).ok()) << call;
  }
  EXPECT_EQ(device_.live(), 0);
}

}  // namespace
}  // namespace lossd::execution::cuda
