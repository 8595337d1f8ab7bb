#include "server/execution/cuda/numa.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "tests/temporary_path.h"

namespace lossd::execution::cuda {
namespace {

// Makes a /sys with one PCI device.
class FakeSysfs : public ::testing::Test {
 protected:
  FakeSysfs() { std::filesystem::create_directories(Folder()); }
  void Write(const std::string& text) {
    std::ofstream(Folder() + "/numa_node") << text;
  }
  std::string Folder() const { return root_ + "/bus/pci/devices/0000:3b:00.0"; }

  const TemporaryPath path_{"sysfs"};
  const std::string& root_ = path_.string();
};

TEST_F(FakeSysfs, TellsTheNodeOfADeviceHoweverItsBusIdIsWritten) {
  Write("1\n");
  EXPECT_EQ(NodeOfPciDevice("0000:3B:00.0", root_), 1);
  EXPECT_EQ(NodeOfPciDevice("0000:3b:00.0", root_), 1);
}

TEST_F(FakeSysfs, TellsNoNodeWhereThereIsNone) {
  Write("-1\n");  // a machine with one node
  EXPECT_EQ(NodeOfPciDevice("0000:3B:00.0", root_), kAnyNode);
  Write("");
  EXPECT_EQ(NodeOfPciDevice("0000:3B:00.0", root_), kAnyNode);
  Write("what\n");
  EXPECT_EQ(NodeOfPciDevice("0000:3B:00.0", root_), kAnyNode);
  EXPECT_EQ(NodeOfPciDevice("0000:af:00.0", root_), kAnyNode);
  EXPECT_EQ(NodeOfPciDevice("", root_), kAnyNode);
}

// Returns Linux's line about this process's mapping at `address`: its policy
// and how many pages are on node 0. Empty if Linux has no such file.
std::string MappingOf(const std::byte* address) {
  std::ifstream maps("/proc/self/numa_maps");
  for (std::string line; std::getline(maps, line);) {
    if (std::stoull(line, nullptr, 16) ==
        reinterpret_cast<uintptr_t>(address)) {
      return line;
    }
  }
  return "";
}

TEST(MapOnNode, GivesZerosThatAreThereAndTakesThemBack) {
  for (const int node : {kAnyNode, 0}) {
    const auto memory = MapOnNode(1 << 20, node);
    ASSERT_TRUE(memory.ok()) << memory.status();
    ASSERT_EQ(memory->size(), size_t{1} << 20);
    EXPECT_TRUE(std::all_of(memory->begin(), memory->end(),
                            [](std::byte b) { return b == std::byte{0}; }));
    (*memory)[memory->size() - 1] = std::byte{1};
    Unmap(*memory);
  }
}

TEST(MapOnNode, PrefersItsNode) {
  const auto memory = MapOnNode(1 << 20, 0);
  ASSERT_TRUE(memory.ok());
  const std::string mapping = MappingOf(memory->data());
  Unmap(*memory);
  if (mapping.find("prefer") == std::string::npos) {
    GTEST_SKIP() << "no NUMA policies on this machine: '" << mapping << "'";
  }
  EXPECT_NE(mapping.find("prefer:0"), std::string::npos) << mapping;
}

TEST(MapOnNode, ANodeThatIsNotThereIsOnlyAWish) {
  const auto memory = MapOnNode(1 << 16, 1023);
  ASSERT_TRUE(memory.ok()) << memory.status();
  Unmap(*memory);
}

TEST(MapOnNode, MoreThanThereCanBeIsAnError) {
  EXPECT_TRUE(
      absl::IsResourceExhausted(MapOnNode(size_t{1} << 60, kAnyNode).status()));
}

}  // namespace
}  // namespace lossd::execution::cuda
