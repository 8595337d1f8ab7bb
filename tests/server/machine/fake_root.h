// A folder that stands in for "/".
#ifndef LOSSD_TESTS_SERVER_MACHINE_FAKE_ROOT_H_
#define LOSSD_TESTS_SERVER_MACHINE_FAKE_ROOT_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "absl/strings/string_view.h"

namespace lossd::machine {

// Lines of /proc/self/mountinfo as Linux writes them.
inline constexpr absl::string_view kCgroup2Mount =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
inline constexpr absl::string_view kMemoryMount =
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
inline constexpr absl::string_view kCpuMount =
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
    "rw,cpu,cpuacct\n";

// Removed with everything in it when destroyed.
class FakeRoot {
 public:
  FakeRoot() {
    std::string name = testing::TempDir() + "/rootXXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~FakeRoot() { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, absl::string_view text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }

  // Writes which hierarchies are mounted and in which groups the process is.
  void SetGroups(absl::string_view mounts, absl::string_view groups) const {
    Write("/proc/self/mountinfo", mounts);
    Write("/proc/self/cgroup", groups);
  }

  const std::string& path() const { return root_; }

 private:
  std::string root_;
};

}  // namespace lossd::machine

#endif  // LOSSD_TESTS_SERVER_MACHINE_FAKE_ROOT_H_
