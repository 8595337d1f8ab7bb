// Compares the real device with the CPU, bit for bit. Skips, with a reason, if
// there is none.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "server/execution/cuda/device.h"
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
    BatchMemory memory(*device, uint64_t{1} << 30);
    const std::unique_ptr<Slot> slot = *Slot::Create(*device, memory);
    for (unsigned seed = 0; seed < 1600; seed += 32) {
      SegmentBatch batch(seed, 32);
      std::string differences = "not computed";
      const absl::Status status =
          slot->Compute(batch.layout(), [&](const std::byte* output) {
            differences = batch.Differences(output);
          });
      ASSERT_TRUE(status.ok()) << status;
      ASSERT_EQ(differences, "") << device->name();
    }
  }
}

TEST_F(GpuTest, SlotsThatOverlapDoNotDisturbEachOther) {
  const std::unique_ptr<SlotPool> pool =
      *SlotPool::Create(std::move(devices_), {.slots_per_device = 3});
  std::vector<std::string> differences(6);
  std::vector<std::thread> threads;
  for (unsigned k = 0; k < differences.size(); ++k) {
    threads.emplace_back([&pool, &differences, k] {
      for (unsigned turn = 0; turn < 20; ++turn) {
        SegmentBatch batch(10000 + 1000 * k + 16 * turn, 16);
        const SlotLease slot = pool->Acquire();
        const absl::Status status =
            slot->Compute(batch.layout(), [&](const std::byte* output) {
              differences[k] += batch.Differences(output);
            });
        differences[k] += std::string(status.message());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(differences, std::vector<std::string>(differences.size()));
}

// Computes the segments in batches of random sizes, in random order, on several
// streams.
TEST_F(GpuTest, NoBatchingNoOrderAndNoNumberOfStreamsChangesABit) {
  for (const unsigned streams : {1u, 2u, 5u, 16u}) {
    BatchMemory memory(*devices_[0], uint64_t{1} << 30);
    std::vector<unsigned> seeds(240);
    std::iota(seeds.begin(), seeds.end(), 0u);
    std::mt19937 random(streams);
    std::shuffle(seeds.begin(), seeds.end(), random);
    std::vector<std::vector<unsigned>> batches;
    for (auto at = seeds.begin(); at != seeds.end();) {
      const auto count = std::min<ptrdiff_t>(
          random() % 2 == 0 ? 1 : random() % 60 + 1, seeds.end() - at);
      batches.emplace_back(at, at + count);
      at += count;
    }
    std::vector<std::string> differences(streams);
    std::vector<std::thread> threads;
    for (unsigned k = 0; k < streams; ++k) {
      threads.emplace_back([&, k] {
        const std::unique_ptr<Slot> slot = *Slot::Create(*devices_[0], memory);
        for (size_t b = k; b < batches.size(); b += streams) {
          SegmentBatch batch(batches[b]);
          const absl::Status status =
              slot->Compute(batch.layout(), [&](const std::byte* output) {
                differences[k] += batch.Differences(output);
              });
          differences[k] += std::string(status.message());
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(differences, std::vector<std::string>(streams)) << streams;
  }
}

TEST_F(GpuTest, MoreMemoryThanThereIsIsAPassingError) {
  const auto memory = devices_[0]->AllocateDevice(size_t{1} << 50);
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kResourceExhausted);
  BatchMemory pools(*devices_[0], uint64_t{1} << 30);
  EXPECT_TRUE(Slot::Create(*devices_[0], pools).ok());
}

// A process cannot open a handle of its own, so these tests see only errors.
// `lossbench --device_memory`, which ./dev gpu runs, opens handles.
TEST_F(GpuTest, AHandleThatNamesNothingIsRefusedAndHarmsNothing) {
  for (const std::unique_ptr<Device>& device : devices_) {
    EXPECT_NE(device->uuid(), DeviceUuid{});
    std::mt19937 random(1);
    for (int trial = 0; trial < 20; ++trial) {
      IpcHandle handle{};
      for (std::byte& byte : handle) {
        byte = static_cast<std::byte>(trial == 0 ? 0 : random());
      }
      const auto opened = device->OpenIpc(handle);
      EXPECT_TRUE(absl::IsInvalidArgument(opened.status())) << opened.status();
    }
    BatchMemory memory(*device, uint64_t{1} << 30);
    SegmentBatch batch(1, 8);
    std::string differences = "not computed";
    const absl::Status status =
        (*Slot::Create(*device, memory))
            ->Compute(batch.layout(), [&](const std::byte* output) {
              differences = batch.Differences(output);
            });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(differences, "");
  }
}

// Runs on every machine and in every build.
TEST(OpenDevices, SaysWhatIsWrongWithADeviceThatIsNotThere) {
  const std::vector<int> ids = {1 << 20};
  const auto devices = OpenDevices(ids);
  ASSERT_FALSE(devices.ok());
  EXPECT_FALSE(devices.status().message().empty());
}

}  // namespace
}  // namespace lossd::execution::cuda
