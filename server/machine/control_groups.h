// The control groups (cgroups) that this process is in.
#ifndef LOSSD_SERVER_MACHINE_CONTROL_GROUPS_H_
#define LOSSD_SERVER_MACHINE_CONTROL_GROUPS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lossd::machine {

enum class GroupVersion { kV1 = 1, kV2 = 2 };

// The folder of one group, as this process sees it.
struct GroupFolder {
  std::string path;
  GroupVersion version;
};

// Returns the folders of the groups that limit this process in `controller`,
// such as "memory": its own group first, then the groups above it, as far as
// they are mounted. cgroup 1 and cgroup 2 may both be there. Empty where there
// are no control groups.
//
// Files are read below `root`, which is "/" except in tests, and the paths
// returned begin with it. Reads files at each call. Thread-safe.
std::vector<GroupFolder> GroupsOf(absl::string_view controller,
                                  const std::string& root);

// Returns the text of a file without the white space around it; nothing if the
// file cannot be read.
std::optional<std::string> ReadText(const std::string& path);

// Returns the one number in a file; nothing if it cannot be read, or holds
// anything else, such as "max".
std::optional<int64_t> ReadNumber(const std::string& path);

}  // namespace lossd::machine

#endif  // LOSSD_SERVER_MACHINE_CONTROL_GROUPS_H_
