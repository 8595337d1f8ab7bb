#include "server/machine/control_groups.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lossd::machine {
namespace {

// A mounted hierarchy of groups: the group `top` of it lies at `point`.
struct Mount {
  std::string top;
  std::string point;
  GroupVersion version;
};

bool Lists(absl::string_view list, absl::string_view word) {
  const std::vector<absl::string_view> words = absl::StrSplit(list, ',');
  return std::ranges::find(words, word) != words.end();
}

// Reads a line of /proc/self/mountinfo: six fields and optional ones, then " -
// " with the type of the file system, its source and its options.
std::optional<Mount> ReadMount(absl::string_view line,
                               absl::string_view controller) {
  const std::vector<absl::string_view> halves =
      absl::StrSplit(line, absl::MaxSplits(" - ", 1));
  if (halves.size() != 2) return std::nullopt;
  const std::vector<absl::string_view> mount = absl::StrSplit(halves[0], ' ');
  const std::vector<absl::string_view> system = absl::StrSplit(halves[1], ' ');
  if (mount.size() < 5 || system.size() < 3) return std::nullopt;
  const bool is_v2 = system[0] == "cgroup2";
  const bool is_v1 = system[0] == "cgroup" && Lists(system[2], controller);
  if (!is_v1 && !is_v2) return std::nullopt;
  return Mount{std::string(mount[3]), std::string(mount[4]),
               is_v2 ? GroupVersion::kV2 : GroupVersion::kV1};
}

// Returns the path of this process' group in a hierarchy, from lines such as
// "4:memory:/a/b", or "0::/a/b" for cgroup 2. "/" where no line fits.
std::string PathInHierarchy(absl::string_view groups, GroupVersion version,
                            absl::string_view controller) {
  for (const absl::string_view line : absl::StrSplit(groups, '\n')) {
    const std::vector<absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3) continue;
    const bool fits = version == GroupVersion::kV2
                          ? parts[0] == "0" && parts[1].empty()
                          : Lists(parts[1], controller);
    if (fits) return std::string(parts[2]);
  }
  return "/";
}

// Returns the path of a group below the one that is mounted. A container that
// sees its own group at the mount point may still be told the path that the
// group has outside; then it is the mounted group itself.
std::string PathBelow(absl::string_view top, absl::string_view path) {
  if (top == "/") return std::string(absl::StripPrefix(path, "/"));
  if (!absl::ConsumePrefix(&path, top)) return "";
  return std::string(absl::StripPrefix(path, "/"));
}

void AddFolders(const Mount& mount, std::string below, const std::string& root,
                std::vector<GroupFolder>* folders) {
  const std::string point =
      absl::StrCat(absl::StripSuffix(root, "/"), mount.point);
  for (;;) {
    folders->push_back({below.empty() ? point : absl::StrCat(point, "/", below),
                        mount.version});
    if (below.empty()) return;
    const size_t slash = below.rfind('/');
    below.resize(slash == std::string::npos ? 0 : slash);
  }
}

}  // namespace

std::optional<std::string> ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  if (file.bad()) return std::nullopt;
  return std::string(absl::StripAsciiWhitespace(text));
}

std::optional<int64_t> ReadNumber(const std::string& path) {
  int64_t number = 0;
  const std::optional<std::string> text = ReadText(path);
  if (!text || !absl::SimpleAtoi(*text, &number)) return std::nullopt;
  return number;
}

std::vector<GroupFolder> GroupsOf(absl::string_view controller,
                                  const std::string& root) {
  std::vector<GroupFolder> folders;
  const std::string self =
      absl::StrCat(absl::StripSuffix(root, "/"), "/proc/self/");
  const std::string groups = ReadText(self + "cgroup").value_or("");
  const std::string mounts = ReadText(self + "mountinfo").value_or("");
  for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::optional<Mount> mount = ReadMount(line, controller);
    if (!mount) continue;
    AddFolders(*mount,
               PathBelow(mount->top,
                         PathInHierarchy(groups, mount->version, controller)),
               root, &folders);
  }
  return folders;
}

}  // namespace lossd::machine
