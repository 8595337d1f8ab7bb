#include "server/shared_memory/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace lossd::shared_memory {
namespace {

// Returns the number after `key` in a file of "key number" lines, or 0 if the
// file has no such line.
uint64_t NumberAfter(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  uint64_t number = 0;
  while (file >> word) {
    if (word == key && file >> number) return number;
  }
  return 0;
}

// Returns the bytes that the container may still take. cgroup 2 counts pages of
// files as taken; those that were not used lately can be dropped.
uint64_t LeftInContainer() {
  uint64_t most = 0;
  uint64_t taken = 0;
  // The file of a container without a limit says "max", which is no number.
  if (!(std::ifstream("/sys/fs/cgroup/memory.max") >> most) ||
      !(std::ifstream("/sys/fs/cgroup/memory.current") >> taken)) {
    return std::numeric_limits<uint64_t>::max();
  }
  taken -= std::min(taken,
                    NumberAfter("/sys/fs/cgroup/memory.stat", "inactive_file"));
  return most - std::min(most, taken);
}

}  // namespace

uint64_t AvailableMemory() {
  constexpr uint64_t kKibi = 1024;
  return std::min(NumberAfter("/proc/meminfo", "MemAvailable:") * kKibi,
                  LeftInContainer());
}

}  // namespace lossd::shared_memory
