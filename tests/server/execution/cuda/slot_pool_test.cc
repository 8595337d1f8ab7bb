#include "server/execution/cuda/slot_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd::execution::cuda {
namespace {

class SlotPoolTest : public ::testing::Test {
 protected:
  void Build(int slots, int devices = 1) {
    pool_ = *SlotPool::Create(Devices(devices), {.slots_per_device = slots});
  }
  std::vector<std::unique_ptr<Device>> Devices(int count) {
    std::vector<std::unique_ptr<Device>> devices;
    fakes_.clear();
    for (int k = 0; k < count; ++k) {
      auto device =
          std::make_unique<FakeDevice>(&traces_, "cuda/" + std::to_string(k));
      fakes_.push_back(device.get());
      devices.push_back(std::move(device));
    }
    return devices;
  }

  DeviceTraces traces_;
  std::vector<FakeDevice*> fakes_;
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

TEST_F(SlotPoolTest, TheLeastUsedDeviceIsFirst) {
  Build(2, 3);
  std::vector<std::string_view> order;
  std::vector<SlotLease> leases;
  for (int k = 0; k < 6; ++k) {
    leases.push_back(pool_->Acquire());
    order.push_back(leases.back().device());
  }
  EXPECT_EQ(order,
            (std::vector<std::string_view>{"cuda/0", "cuda/1", "cuda/2",
                                           "cuda/0", "cuda/1", "cuda/2"}));
  leases.erase(leases.begin() + 1);  // one of cuda/1
  leases.push_back(pool_->Acquire());
  EXPECT_EQ(leases.back().device(), "cuda/1");
}

TEST_F(SlotPoolTest, ARetiredDeviceIsNotLentAgain) {
  Build(2, 2);
  {
    const SlotLease lease = pool_->Acquire();
    EXPECT_EQ(lease.device(), "cuda/0");
    EXPECT_EQ(pool_->Retire(lease), 1);
    EXPECT_EQ(pool_->Retire(lease), std::nullopt);
    EXPECT_TRUE(lease.held());  // lent slots stay usable
  }
  EXPECT_EQ(pool_->devices_left(), 1);
  EXPECT_EQ(pool_->free_slots(), 2);
  const SlotLease second = pool_->Acquire();
  const SlotLease third = pool_->Acquire();
  EXPECT_EQ(second.device(), "cuda/1");
  EXPECT_EQ(third.device(), "cuda/1");
  EXPECT_FALSE(pool_->TryAcquire().held());
}

TEST_F(SlotPoolTest, LosingTheLastDeviceEndsTheWaitingAndTheLending) {
  Build(1);
  const SlotLease lease = pool_->Acquire();
  bool held = true;
  std::thread waiting([&] { held = pool_->Acquire().held(); });
  EXPECT_EQ(pool_->Retire(lease), 0);
  waiting.join();
  EXPECT_FALSE(held);
  EXPECT_FALSE(pool_->TryAcquire().held());
}

TEST_F(SlotPoolTest, AFailureWhileItIsMadeLeavesNothingBehind) {
  for (int nth = 0; nth < 4; ++nth) {  // for two streams and two events
    auto devices = Devices(1);
    fakes_[0]->FailCall(nth, absl::InternalError("asked for"));
    const auto made =
        SlotPool::Create(std::move(devices), {.slots_per_device = 2});
    EXPECT_EQ(made.status(), absl::InternalError("cuda/0: asked for"));
    EXPECT_EQ(traces_.live, 0) << "call " << nth;
  }
}

TEST_F(SlotPoolTest, ADeviceThatFailsMayBeLeftOutWhereItIsNotAskedFor) {
  for (const bool need_every_device : {true, false}) {
    auto devices = Devices(3);
    fakes_[1]->FailCall(0, absl::InternalError("asked for"));
    const auto made = SlotPool::Create(
        std::move(devices),
        {.slots_per_device = 2, .need_every_device = need_every_device});
    ASSERT_EQ(made.ok(), !need_every_device);
    if (!made.ok()) continue;
    EXPECT_EQ((*made)->device_names(),
              (std::vector<std::string_view>{"cuda/0", "cuda/2"}));
    EXPECT_EQ((*made)->free_slots(), 4);
  }
}

TEST_F(SlotPoolTest, LendsOfTheDevicesThatAreNamed) {
  Build(2, 3);
  const std::vector<int> two = {0, 2};
  const SlotLease a = pool_->Acquire(two);
  const SlotLease b = pool_->Acquire(two);
  EXPECT_EQ(a.number() + b.number(), 2);  // one of each device, the least used
  const std::vector<int> one = {2};
  std::optional<SlotLease> c = pool_->Acquire(one);
  EXPECT_EQ(c->device(), "cuda/2");
  // All slots of that device are lent, so it waits, whatever others have free.
  std::atomic<bool> given_back = false;
  bool seen_given_back = false;
  std::thread waiting([&] {
    const SlotLease mine = pool_->Acquire(one);
    seen_given_back = given_back && mine.number() == 2;
  });
  EXPECT_NE(pool_->Acquire().number(), 2);
  given_back = true;
  c.reset();
  waiting.join();
  EXPECT_TRUE(seen_given_back);
}

TEST_F(SlotPoolTest, LendsNothingOnceTheDevicesThatAreNamedAreRetired) {
  Build(1, 2);
  const std::vector<int> named = {1};
  {
    const SlotLease lease = pool_->Acquire(named);
    EXPECT_FALSE(pool_->retired(1));
    EXPECT_TRUE(pool_->Retire(lease));
  }
  EXPECT_TRUE(pool_->retired(1));
  EXPECT_FALSE(pool_->retired(0));
  EXPECT_FALSE(pool_->Acquire(named).held());
  EXPECT_TRUE(pool_->Acquire().held());
}

}  // namespace
}  // namespace lossd::execution::cuda
