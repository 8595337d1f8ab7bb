#include "server/memory_plan.h"

#include <gtest/gtest.h>

#include <limits>

namespace lossd {
namespace {

constexpr int64_t kMebi = int64_t{1} << 20;

TEST(PlanMemory, StaysWithinWhatIsUsable) {
  for (int64_t usable = 128 * kMebi; usable <= 64 * 1024 * kMebi;
       usable += usable / 7) {
    const MemoryPlan plan = PlanMemory(usable);
    EXPECT_LE(TotalBytes(plan), usable);
    EXPECT_LE(plan.message_bytes, plan.inflight_bytes);
    EXPECT_GE(plan.inflight_requests, 64);
    EXPECT_GT(plan.message_bytes, 0);
  }
}

TEST(PlanMemory, GivesALargeMachineTheFullDefaults) {
  const MemoryPlan plan = PlanMemory(16 * 1024 * kMebi);
  EXPECT_EQ(plan.inflight_bytes, 1024 * kMebi);
  EXPECT_EQ(plan.inflight_requests, 4096);
  EXPECT_EQ(plan.message_bytes, 256 * kMebi);
}

// A request of 40 MB of float32 logits and targets is charged 60 MB.
TEST(PlanMemory, AdmitsARequestOf40MegabytesIn256Mebibytes) {
  const MemoryPlan plan = PlanMemory(256 * kMebi);
  EXPECT_GE(plan.message_bytes, 40'000'100);
  EXPECT_GE(plan.inflight_bytes, 60'000'200);
  EXPECT_GE(PlanMemory(512 * kMebi).inflight_bytes, 3 * 60'000'200);
}

TEST(PlanMemory, TakesAnyNumber) {
  EXPECT_EQ(PlanMemory(0).inflight_bytes,
            PlanMemory(128 * kMebi).inflight_bytes);
  EXPECT_EQ(PlanMemory(std::numeric_limits<int64_t>::max()).message_bytes,
            256 * kMebi);
}

TEST(TransportBytes, HoldOneMessageWhateverTheBudget) {
  MemoryPlan plan = PlanMemory(512 * kMebi);
  plan.inflight_bytes = 1000;
  EXPECT_GE(TransportBytes(plan), plan.message_bytes);
  plan.inflight_bytes = std::numeric_limits<int64_t>::max();
  plan.inflight_requests = std::numeric_limits<int64_t>::max();
  EXPECT_GT(TransportBytes(plan), 0);
  EXPECT_GT(TotalBytes(plan), 0);
}

TEST(KeptHeapBytes, AreAPartOfTheMemory) {
  EXPECT_EQ(KeptHeapBytes(256 * kMebi), 4 * kMebi);
  EXPECT_EQ(KeptHeapBytes(64 * 1024 * kMebi), 64 * kMebi);
}

}  // namespace
}  // namespace lossd
