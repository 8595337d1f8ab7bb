#include "server/shared_memory/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace lossd::shared_memory {
namespace {

// The number after `key` in a file of "key number" lines; 0 if it is not there.
uint64_t NumberAfter(const char* path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  uint64_t number = 0;
  while (file >> word) {
    if (word == key && file >> number) return number;
  }
  return 0;
}

// What the container may still take. Pages of files that nobody used lately
// count as taken there, and can be dropped.
uint64_t LeftInContainer() {
  uint64_t most = 0;
  uint64_t taken = 0;
  // "max" is no number: no limit.
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
