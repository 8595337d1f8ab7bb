// The real device against the CPU, bit for bit. Skips where there is none,
// saying why.
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "server/execution/cuda/open.h"
#include "server/execution/cuda/slot.h"
#include "server/execution/cuda/slot_pool.h"
#include "tests/server/execution/cuda/segment_batch.h"

namespace lossd::execution::cuda {
namespace {

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto devices = OpenDevices({});
    if (!devices.ok()) GTEST_SKIP() << devices.status();
    devices_ = *std::move(devices);
  }

  std::vector<std::unique_ptr<Device>> devices_;
};

TEST_F(GpuTest, GivesTheBitsOfTheCpuForBatchesOfEveryKind) {
  for (const std::unique_ptr<Device>& device : devices_) {
    const std::unique_ptr<Slot> slot = *Slot::Create(*device);
    for (unsigned seed = 0; seed < 1600; seed += 32) {
      SegmentBatch batch(seed, 32);
      const absl::Status status = slot->Compute(batch.layout());
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(batch.Differences(slot->output()), "") << device->name();
    }
  }
}

TEST_F(GpuTest, SlotsThatOverlapDoNotDisturbEachOther) {
  const std::unique_ptr<SlotPool> pool = *SlotPool::Create(*devices_[0], 3);
  std::vector<std::string> differences(6);
  std::vector<std::thread> threads;
  for (unsigned k = 0; k < differences.size(); ++k) {
    threads.emplace_back([&pool, &differences, k] {
      for (unsigned turn = 0; turn < 20; ++turn) {
        SegmentBatch batch(10000 + 1000 * k + 16 * turn, 16);
        SlotLease slot = pool->Acquire();
        const absl::Status status = slot->Compute(batch.layout());
        differences[k] += status.ok() ? batch.Differences(slot->output())
                                      : std::string(status.message());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differences, std::vector<std::string>(differences.size()));
}

TEST_F(GpuTest, MoreMemoryThanThereIsIsAPassingError) {
  const auto memory = devices_[0]->AllocateDevice(size_t{1} << 50);
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(Slot::Create(*devices_[0]).ok());
}

// On every machine and in every build.
TEST(OpenDevices, SaysWhatIsWrongWithADeviceThatIsNotThere) {
  const std::vector<int> ids = {1 << 20};
  const auto devices = OpenDevices(ids);
  ASSERT_FALSE(devices.ok());
  EXPECT_FALSE(devices.status().message().empty());
}

}  // namespace
}  // namespace lossd::execution::cuda
