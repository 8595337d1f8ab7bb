#include "server/defaults.h"

#include <gtest/gtest.h>

namespace lossd {
namespace {

Config On(int cpus, Config config = {}) {
  return WithDefaults(config, {.cpus = {cpus, "test"}});
}

TEST(WithDefaults, StartsAnExecutorForEachProcessor) {
  EXPECT_EQ(On(1).cpu_threads, 1);
  EXPECT_EQ(On(7).cpu_threads, 7);
}

TEST(WithDefaults, StartsAnRpcThreadForTwoProcessorsUpToFour) {
  EXPECT_EQ(On(1).rpc_threads, 1);
  EXPECT_EQ(On(2).rpc_threads, 1);
  EXPECT_EQ(On(6).rpc_threads, 3);
  EXPECT_EQ(On(64).rpc_threads, 4);
}

TEST(WithDefaults, DividesTheMemory) {
  const Machine machine = {.memory = {int64_t{512} << 20, "test"}};
  const Config config = WithDefaults({}, machine);
  const MemoryPlan plan = PlanMemory(int64_t{512} << 20);
  EXPECT_EQ(config.max_inflight_bytes, plan.inflight_bytes);
  EXPECT_EQ(config.max_inflight_requests, plan.inflight_requests);
  EXPECT_EQ(config.max_message_bytes, plan.message_bytes);
  EXPECT_LE(TotalBytes(PlanOf(config, machine)), int64_t{512} << 20);
}

TEST(WithDefaults, LeavesNumbersThatWereGiven) {
  const Config config = On(8, {.cpu_threads = 3,
                               .rpc_threads = 2,
                               .max_inflight_bytes = 1,
                               .max_inflight_requests = 2,
                               .max_message_bytes = 3});
  EXPECT_EQ(config.cpu_threads, 3);
  EXPECT_EQ(config.rpc_threads, 2);
  EXPECT_EQ(config.max_inflight_bytes, 1);
  EXPECT_EQ(config.max_inflight_requests, 2);
  EXPECT_EQ(config.max_message_bytes, 3);
}

}  // namespace
}  // namespace lossd
