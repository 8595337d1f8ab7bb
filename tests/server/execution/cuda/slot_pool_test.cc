#include "server/execution/cuda/slot_pool.h"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd::execution::cuda {
namespace {

class SlotPoolTest : public ::testing::Test {
 protected:
  void Build(int slots) { pool_ = *SlotPool::Create(device_, slots); }

  DeviceTraces traces_;
  FakeDevice device_{&traces_};
  std::unique_ptr<SlotPool> pool_;
};

TEST_F(SlotPoolTest, LendsEverySlotToOneUserAtATime) {
  Build(2);
  const SlotLease first = pool_->Acquire();
  const SlotLease second = pool_->Acquire();
  ASSERT_TRUE(first.held() && second.held());
  EXPECT_NE(first.operator->(), second.operator->());
  EXPECT_EQ(pool_->free_slots(), 0);
  EXPECT_FALSE(pool_->TryAcquire().held());
}

TEST_F(SlotPoolTest, ALeaseGivesItsSlotBackOnce) {
  Build(1);
  {
    SlotLease lease = pool_->Acquire();
    const SlotLease moved = std::move(lease);
    EXPECT_FALSE(lease.held());  // NOLINT(bugprone-use-after-move)
    EXPECT_EQ(pool_->free_slots(), 0);
  }
  EXPECT_EQ(pool_->free_slots(), 1);
  EXPECT_TRUE(pool_->TryAcquire().held());
}

TEST_F(SlotPoolTest, LendsTheSlotThatCameBackLast) {
  Build(3);
  std::optional<SlotLease> first = pool_->Acquire();
  const SlotLease second = pool_->Acquire();
  const Slot* const slot = first->operator->();
  first.reset();
  EXPECT_EQ(pool_->Acquire().operator->(), slot);
}

TEST_F(SlotPoolTest, WhoFindsNoneFreeWaitsForOne) {
  Build(1);
  std::optional<SlotLease> lease = pool_->Acquire();
  std::atomic<bool> given_back = false;
  bool seen_given_back = false;
  std::thread waiting([&] {
    const SlotLease mine = pool_->Acquire();
    seen_given_back = given_back && mine.held();
  });
  given_back = true;
  lease.reset();
  waiting.join();
  EXPECT_TRUE(seen_given_back);
}

TEST_F(SlotPoolTest, ManyUsersNeverShareASlot) {
  Build(2);
  std::atomic<int> users = 0;
  std::atomic<int> too_many = 0;
  std::vector<std::thread> threads;
  for (int k = 0; k < 4; ++k) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 500; ++turn) {
        const SlotLease lease = pool_->Acquire();
        if (++users > 2) ++too_many;
        --users;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(too_many, 0);
  EXPECT_EQ(pool_->free_slots(), 2);
}

TEST_F(SlotPoolTest, ClosingEndsTheWaitingAndTheLending) {
  Build(1);
  const SlotLease lease = pool_->Acquire();
  bool held = true;
  std::thread waiting([&] { held = pool_->Acquire().held(); });
  pool_->Close();
  waiting.join();
  EXPECT_FALSE(held);
  EXPECT_FALSE(pool_->TryAcquire().held());
  EXPECT_TRUE(lease.held());  // those out stay good
}

TEST_F(SlotPoolTest, AFailureWhileItIsMadeLeavesNothingBehind) {
  for (int nth = 0; nth < 4; ++nth) {  // two streams and two events
    device_.FailCall(nth, absl::InternalError("asked for"));
    EXPECT_EQ(SlotPool::Create(device_, 2).status(),
              absl::InternalError("asked for"));
    EXPECT_EQ(device_.live(), 0) << "call " << nth;
  }
  EXPECT_TRUE(SlotPool::Create(device_, 2).ok());
}

}  // namespace
}  // namespace lossd::execution::cuda
