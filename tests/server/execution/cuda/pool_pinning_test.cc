#include "server/execution/cuda/pool_pinning.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/shared_memory/region_table.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd::execution::cuda {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMost = 4 * kPage;

class PoolPinningTest : public ::testing::Test {
 protected:
  PoolPinningTest() : pages_(8 * kPage) {
    std::vector<std::unique_ptr<Device>> devices;
    for (int k = 0; k < 2; ++k) {
      auto device =
          std::make_unique<FakeDevice>(&traces_, "cuda/" + std::to_string(k));
      devices_.push_back(device.get());
      devices.push_back(std::move(device));
    }
    pool_ = *SlotPool::Create(std::move(devices), {.slots_per_device = 1});
    pinning_ = std::make_unique<PoolPinning>(pool_.get(), kMost);
  }
  void TearDown() override { EXPECT_EQ(traces_.misuses, 0); }
  std::span<std::byte> Pages(uint64_t first, uint64_t count) {
    return std::span(pages_).subspan(first * kPage, count * kPage);
  }

  DeviceTraces traces_;
  std::vector<std::byte> pages_;
  std::vector<FakeDevice*> devices_;  // the pool's
  std::unique_ptr<SlotPool> pool_;
  std::unique_ptr<PoolPinning> pinning_;
};

TEST_F(PoolPinningTest, OneDevicePinsForAll) {
  ASSERT_TRUE(pinning_->Pin(Pages(0, 2)));
  EXPECT_EQ(pinning_->bytes(), 2 * kPage);
  EXPECT_EQ(traces_.pinned.count(), 1U);
  EXPECT_EQ(devices_[1]->calls(DeviceCall::kPin), 0);
  ASSERT_TRUE(pinning_->Unpin(Pages(0, 2)));
  EXPECT_EQ(pinning_->bytes(), 0U);
  EXPECT_EQ(traces_.pinned.count(), 0U);
}

TEST_F(PoolPinningTest, MoreThanTheLimitIsNotPinned) {
  EXPECT_FALSE(pinning_->Pin(Pages(0, 5)));
  ASSERT_TRUE(pinning_->Pin(Pages(0, 3)));
  EXPECT_FALSE(pinning_->Pin(Pages(3, 2)));
  ASSERT_TRUE(pinning_->Pin(Pages(3, 1)));
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kPin), 2);
  ASSERT_TRUE(pinning_->Unpin(Pages(0, 3)));
  ASSERT_TRUE(pinning_->Pin(Pages(5, 3)));
}

TEST_F(PoolPinningTest, AnErrorLeavesMemoryUnpinnedAndTheDeviceInUse) {
  devices_[0]->FailCall(DeviceCall::kPin, 0, absl::InternalError("asked for"));
  EXPECT_FALSE(pinning_->Pin(Pages(0, 4)));
  EXPECT_EQ(pinning_->bytes(), 0U);
  EXPECT_EQ(pool_->devices_left(), 2);
  EXPECT_TRUE(pinning_->Pin(Pages(0, 4)));
}

TEST_F(PoolPinningTest, UnpinningIsTriedTwice) {
  ASSERT_TRUE(pinning_->Pin(Pages(0, 1)));
  const absl::Status why = absl::InternalError("asked for");
  devices_[0]->FailCall(DeviceCall::kUnpin, 0, why);
  EXPECT_TRUE(pinning_->Unpin(Pages(0, 1)));
  ASSERT_TRUE(pinning_->Pin(Pages(0, 1)));
  devices_[0]->FailCall(DeviceCall::kUnpin, 0, why);
  devices_[0]->FailCall(DeviceCall::kUnpin, 1, why);
  EXPECT_FALSE(pinning_->Unpin(Pages(0, 1)));
  EXPECT_EQ(pinning_->bytes(), kPage);  // it is pinned for good
}

// Even a device other than the one that pinned may still copy.
TEST_F(PoolPinningTest, OnceADeviceIsLostNothingIsUnpinned) {
  ASSERT_TRUE(pinning_->Pin(Pages(0, 1)));
  const int last[] = {1};
  pool_->Retire(pool_->Acquire(last));
  EXPECT_FALSE(pinning_->Unpin(Pages(0, 1)));
  EXPECT_FALSE(pinning_->Pin(Pages(1, 1)));
  EXPECT_EQ(devices_[0]->calls(DeviceCall::kUnpin), 0);
}

// A client releases its region, or dies, while a call still holds it.
TEST_F(PoolPinningTest, ARegionIsUnpinnedWithItsLastUse) {
  shared_memory::RegionTable table({}, nullptr, pinning_.get());
  const auto made = table.Register(/*owner=*/1, kPage);
  ASSERT_TRUE(made.ok());
  auto held = *table.Find(made->name);
  EXPECT_TRUE(held->pinned());
  EXPECT_EQ(table.pinned_bytes(), static_cast<int64_t>(kPage));
  table.ReleaseAll(1);
  EXPECT_EQ(traces_.pinned.count(), 1U);
  held.reset();
  EXPECT_EQ(traces_.pinned.count(), 0U);
  EXPECT_EQ(table.pinned_bytes(), 0);
  const auto large = table.Register(/*owner=*/1, kMost + 1);
  ASSERT_TRUE(large.ok());
  EXPECT_FALSE((*table.Find(large->name))->pinned());
}

}  // namespace
}  // namespace lossd::execution::cuda
