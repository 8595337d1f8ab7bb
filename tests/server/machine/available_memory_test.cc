#include "server/machine/available_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/server/machine/fake_root.h"

namespace lossd::machine {
namespace {

TEST(AvailableMemory, IsSomeOfTheMachines) {
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  EXPECT_GT(AvailableMemory(), 0U);
  EXPECT_LE(AvailableMemory(), pages * page);
}

TEST(AvailableMemory, IsWhatLinuxEstimatesWithoutLimits) {
  const FakeRoot root;
  EXPECT_EQ(AvailableMemory(root.path()), 0U);
  root.Write("/proc/meminfo", "MemTotal: 9 kB\nMemAvailable:   2048 kB\n");
  EXPECT_EQ(AvailableMemory(root.path()), 2048U * 1024);
  root.SetGroups(kCgroup2Mount, "0::/pod\n");
  root.Write("/sys/fs/cgroup/pod/memory.max", "max\n");
  root.Write("/sys/fs/cgroup/pod/memory.current", "4096\n");
  EXPECT_EQ(AvailableMemory(root.path()), 2048U * 1024);
}

TEST(AvailableMemory, IsWhatAGroupMayStillTake) {
  const FakeRoot root;
  root.Write("/proc/meminfo", "MemAvailable: 24684288 kB\n");
  root.SetGroups(kCgroup2Mount, "0::/pod/server\n");
  root.Write("/sys/fs/cgroup/pod/server/memory.max", "max\n");
  root.Write("/sys/fs/cgroup/pod/server/memory.current", "5000\n");
  root.Write("/sys/fs/cgroup/pod/memory.max", "10000\n");
  root.Write("/sys/fs/cgroup/pod/memory.current", "7000\n");
  EXPECT_EQ(AvailableMemory(root.path()), 3000U);
  // Pages of files that were not used lately can be dropped.
  root.Write("/sys/fs/cgroup/pod/memory.stat",
             "anon 1\ninactive_file 2500\nactive_file 3\n");
  EXPECT_EQ(AvailableMemory(root.path()), 5500U);
  root.Write("/sys/fs/cgroup/pod/memory.current", "90000\n");
  EXPECT_EQ(AvailableMemory(root.path()), 0U);
}

TEST(AvailableMemory, KnowsGroupsOfVersion1) {
  const FakeRoot root;
  root.Write("/proc/meminfo", "MemAvailable: 24684288 kB\n");
  root.SetGroups(kMemoryMount, "4:memory:/docker\n");
  const std::string group = "/sys/fs/cgroup/memory/docker";
  root.Write(group + "/memory.limit_in_bytes", "268435456\n");
  root.Write(group + "/memory.usage_in_bytes", "268400000\n");
  root.Write(group + "/memory.stat",
             "inactive_file 7\ntotal_inactive_file 64544\n");
  EXPECT_EQ(AvailableMemory(root.path()), 100'000U);
}

}  // namespace
}  // namespace lossd::machine
