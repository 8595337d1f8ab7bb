#include "server/machine/control_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/server/machine/fake_root.h"

namespace lossd::machine {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> PathsOf(absl::string_view controller,
                                 const FakeRoot& root) {
  std::vector<std::string> paths;
  for (const GroupFolder& group : GroupsOf(controller, root.path())) {
    paths.push_back(group.path.substr(root.path().size()));
  }
  return paths;
}

TEST(GroupsOf, IsEmptyWithoutControlGroups) {
  const FakeRoot root;
  EXPECT_THAT(PathsOf("memory", root), IsEmpty());
  root.SetGroups("21 1 8:1 / / rw - ext4 /dev/sda1 rw\nnonsense\n", "0::/\n");
  EXPECT_THAT(PathsOf("memory", root), IsEmpty());
}

TEST(GroupsOf, NamesTheGroupAndThoseAboveIt) {
  const FakeRoot root;
  root.SetGroups(kCgroup2Mount, "0::/kubepods/pod1/server\n");
  EXPECT_THAT(PathsOf("memory", root),
              ElementsAre("/sys/fs/cgroup/kubepods/pod1/server",
                          "/sys/fs/cgroup/kubepods/pod1",
                          "/sys/fs/cgroup/kubepods", "/sys/fs/cgroup"));
}

TEST(GroupsOf, FindsEachControllerOfVersion1InItsOwnHierarchy) {
  const FakeRoot root;
  root.SetGroups(absl::StrCat(kMemoryMount, kCpuMount),
                 "4:memory:/a\n1:cpu,cpuacct:/b\n0::/c\n");
  EXPECT_THAT(PathsOf("memory", root),
              ElementsAre("/sys/fs/cgroup/memory/a", "/sys/fs/cgroup/memory"));
  EXPECT_THAT(PathsOf("cpu", root), ElementsAre("/sys/fs/cgroup/cpu,cpuacct/b",
                                                "/sys/fs/cgroup/cpu,cpuacct"));
}

TEST(GroupsOf, KnowsTheMountedGroupByThePathThatItHasOutside) {
  const FakeRoot root;
  root.SetGroups(
      "35 31 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup "
      "rw,memory\n",
      "4:memory:/docker/1f/inner\n");
  EXPECT_THAT(
      PathsOf("memory", root),
      ElementsAre("/sys/fs/cgroup/memory/inner", "/sys/fs/cgroup/memory"));
}

TEST(GroupsOf, TakesTheMountedGroupIfThePathLiesElsewhere) {
  const FakeRoot root;
  root.SetGroups(
      "35 31 0:32 /docker/1f /sys/fs/cgroup/memory ro - cgroup cgroup "
      "rw,memory\n",
      "4:memory:/elsewhere\n");
  EXPECT_THAT(PathsOf("memory", root), ElementsAre("/sys/fs/cgroup/memory"));
}

TEST(ReadNumber, IsNothingForWordsAndMissingFiles) {
  const FakeRoot root;
  root.Write("/number", " 12\n");
  root.Write("/word", "max\n");
  EXPECT_EQ(ReadNumber(root.path() + "/number"), 12);
  EXPECT_EQ(ReadNumber(root.path() + "/word"), std::nullopt);
  EXPECT_EQ(ReadNumber(root.path() + "/missing"), std::nullopt);
}

}  // namespace
}  // namespace lossd::machine
