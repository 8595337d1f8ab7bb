#include "server/machine/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/server/machine/fake_root.h"

namespace lossd::machine {
namespace {

using testing::EndsWith;

TEST(UsableMemory, IsPhysicalWithoutLimits) {
  const FakeRoot root;
  root.Write("/proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n");
  const Memory memory = UsableMemory({}, root.path());
  EXPECT_EQ(memory.bytes, 2048 * 1024);
  EXPECT_EQ(memory.reason, "physical memory");
}

TEST(UsableMemory, IsUnlimitedWhereNothingIsKnown) {
  const FakeRoot root;
  EXPECT_EQ(UsableMemory({}, root.path()).bytes,
            std::numeric_limits<int64_t>::max());
  root.Write("/proc/meminfo", "nonsense\n");
  EXPECT_EQ(UsableMemory({}, root.path()).reason, "no limit found");
}

TEST(UsableMemory, ObeysTheSmallestGroupAboveTheProcess) {
  const FakeRoot root;
  root.Write("/proc/meminfo", "MemTotal: 24684288 kB\n");
  root.SetGroups(kCgroup2Mount, "0::/pod/server\n");
  root.Write("/sys/fs/cgroup/pod/server/memory.max", "max\n");
  root.Write("/sys/fs/cgroup/pod/memory.max", "536870912\n");
  const Memory memory = UsableMemory({}, root.path());
  EXPECT_EQ(memory.bytes, 512 << 20);
  EXPECT_THAT(memory.reason, EndsWith("/sys/fs/cgroup/pod/memory.max"));
}

TEST(UsableMemory, ObeysTheLimitOfVersion1) {
  const FakeRoot root;
  root.Write("/proc/meminfo", "MemTotal: 24684288 kB\n");
  root.SetGroups(kMemoryMount, "4:memory:/docker\n");
  root.Write("/sys/fs/cgroup/memory/memory.limit_in_bytes",
             "9223372036854771712\n");
  root.Write("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
             "268435456\n");
  const Memory memory = UsableMemory({}, root.path());
  EXPECT_EQ(memory.bytes, 256 << 20);
  EXPECT_THAT(memory.reason, EndsWith("/docker/memory.limit_in_bytes"));
}

TEST(UsableMemory, LeavesAQuarterOfTheAddressesThatMayBeTaken) {
  const FakeRoot root;
  root.Write("/proc/meminfo", "MemTotal: 24684288 kB\n");
  const Memory data = UsableMemory(
      {.address_space = 800 << 20, .data = 400 << 20}, root.path());
  EXPECT_EQ(data.bytes, 300 << 20);
  EXPECT_EQ(data.reason, "RLIMIT_DATA");
  const Memory addresses =
      UsableMemory({.address_space = 800 << 20}, root.path());
  EXPECT_EQ(addresses.bytes, 600 << 20);
  EXPECT_EQ(addresses.reason, "RLIMIT_AS");
}

}  // namespace
}  // namespace lossd::machine
