#include "server/machine/available_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/machine/control_groups.h"

namespace lossd::machine {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// Returns the number after `key` in a file of "key number" lines, or 0 if the
// file has no such line.
uint64_t NumberAfter(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string word;
  uint64_t number = 0;
  while (file >> word) {
    if (word == key && file >> number) return number;
  }
  return 0;
}

// The files of a group, by the version of its hierarchy. Those of cgroup 1
// count the groups below in the lines that begin with "total_".
struct GroupFiles {
  const char* most;
  const char* taken;
  const char* droppable;
};
constexpr GroupFiles kV1 = {"/memory.limit_in_bytes", "/memory.usage_in_bytes",
                            "total_inactive_file"};
constexpr GroupFiles kV2 = {"/memory.max", "/memory.current", "inactive_file"};

// Returns the bytes that a group may still take. Pages of files count as taken;
// those that were not used lately can be dropped.
uint64_t LeftInGroup(const GroupFolder& group) {
  const GroupFiles& files = group.version == GroupVersion::kV1 ? kV1 : kV2;
  const auto most = ReadNumber(absl::StrCat(group.path, files.most));
  const auto used = ReadNumber(absl::StrCat(group.path, files.taken));
  if (!most.has_value() || !used.has_value()) return kUnlimited;
  const uint64_t droppable =
      NumberAfter(absl::StrCat(group.path, "/memory.stat"), files.droppable);
  const auto limit = static_cast<uint64_t>(*most);
  const auto taken = static_cast<uint64_t>(*used);
  return limit - std::min(limit, taken - std::min(taken, droppable));
}

}  // namespace

uint64_t AvailableMemory() { return AvailableMemory("/"); }

uint64_t AvailableMemory(const std::string& root) {
  constexpr uint64_t kKibi = 1024;
  const std::string file =
      absl::StrCat(absl::StripSuffix(root, "/"), "/proc/meminfo");
  uint64_t available = NumberAfter(file, "MemAvailable:") * kKibi;
  for (const GroupFolder& group : GroupsOf("memory", root)) {
    available = std::min(available, LeftInGroup(group));
  }
  return available;
}

}  // namespace lossd::machine
