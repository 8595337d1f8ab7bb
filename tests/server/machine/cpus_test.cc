#include "server/machine/cpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <string>
#include <thread>

#include "tests/server/machine/fake_root.h"

namespace lossd::machine {
namespace {

using testing::HasSubstr;

TEST(UsableCpus, AreThoseOfTheAffinityWithoutAQuota) {
  const FakeRoot root;
  const Cpus cpus = UsableCpus(6, root.path());
  EXPECT_EQ(cpus.count, 6);
  EXPECT_EQ(cpus.reason, "affinity");
  EXPECT_EQ(UsableCpus(0, root.path()).count, 1);
}

TEST(UsableCpus, CountAPartOfAQuotaAsAWhole) {
  const FakeRoot root;
  root.SetGroups(kCgroup2Mount, "0::/pod\n");
  const auto count_with = [&root](const std::string& cpu_max) {
    root.Write("/sys/fs/cgroup/pod/cpu.max", cpu_max);
    return UsableCpus(8, root.path()).count;
  };
  EXPECT_EQ(count_with("50000 100000\n"), 1);
  EXPECT_EQ(count_with("100000 100000\n"), 1);
  EXPECT_EQ(count_with("100001 100000\n"), 2);
  EXPECT_EQ(count_with("250000 100000\n"), 3);
  EXPECT_EQ(count_with("max 100000\n"), 8);
  EXPECT_EQ(count_with("6400000 100000\n"), 8);
  EXPECT_EQ(count_with("50000\n"), 8);
  EXPECT_EQ(count_with("0 0\n"), 8);
}

TEST(UsableCpus, ObeyTheQuotaOfAGroupAbove) {
  const FakeRoot root;
  root.SetGroups(kCgroup2Mount, "0::/pod/server\n");
  root.Write("/sys/fs/cgroup/pod/cpu.max", "200000 100000\n");
  root.Write("/sys/fs/cgroup/pod/server/cpu.max", "400000 100000\n");
  const Cpus cpus = UsableCpus(8, root.path());
  EXPECT_EQ(cpus.count, 2);
  EXPECT_THAT(cpus.reason, HasSubstr("quota of 200000/100000 in "));
  EXPECT_THAT(cpus.reason, HasSubstr("/sys/fs/cgroup/pod"));
}

TEST(UsableCpus, ObeyTheQuotaOfVersion1) {
  const FakeRoot root;
  root.SetGroups(kCpuMount, "1:cpu,cpuacct:/docker\n");
  const std::string group = "/sys/fs/cgroup/cpu,cpuacct/docker/";
  root.Write(group + "cpu.cfs_period_us", "100000\n");
  root.Write(group + "cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(UsableCpus(8, root.path()).count, 2);
  root.Write(group + "cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(UsableCpus(8, root.path()).count, 8);
}

TEST(UsableCpus, FollowTheAffinityOfTheThread) {
  int count = 0;
  std::thread([&count] {
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) ++first;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    count = UsableCpus().count;
  }).join();
  EXPECT_EQ(count, 1);
}

}  // namespace
}  // namespace lossd::machine
