#include "server/machine/memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "server/machine/control_groups.h"

namespace lossd::machine {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

int64_t SoftLimit(__rlimit_resource_t resource) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return kUnlimited;
  }
  return static_cast<int64_t>(
      std::min<rlim_t>(limit.rlim_cur, static_cast<rlim_t>(kUnlimited)));
}

// Returns the machine's memory, from the line "MemTotal:  24684288 kB".
std::optional<int64_t> Physical(const std::string& root) {
  const std::string text =
      ReadText(absl::StrCat(absl::StripSuffix(root, "/"), "/proc/meminfo"))
          .value_or("");
  const std::vector<absl::string_view> words =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  int64_t kibi = 0;
  if (words.size() < 2 || words[0] != "MemTotal:" ||
      !absl::SimpleAtoi(words[1], &kibi)) {
    return std::nullopt;
  }
  return kibi * 1024;
}

void TakeSmaller(int64_t bytes, std::string reason, Memory* memory) {
  if (bytes < memory->bytes) *memory = {bytes, std::move(reason)};
}

}  // namespace

Memory UsableMemory() {
  return UsableMemory({SoftLimit(RLIMIT_AS), SoftLimit(RLIMIT_DATA)}, "/");
}

Memory UsableMemory(const ResourceLimits& limits, const std::string& root) {
  Memory memory = {kUnlimited, "no limit found"};
  if (const auto bytes = Physical(root)) {
    TakeSmaller(*bytes, "physical memory", &memory);
  }
  for (const GroupFolder& group : GroupsOf("memory", root)) {
    const std::string file =
        absl::StrCat(group.path, group.version == GroupVersion::kV1
                                     ? "/memory.limit_in_bytes"
                                     : "/memory.max");
    if (const auto bytes = ReadNumber(file)) TakeSmaller(*bytes, file, &memory);
  }
  if (limits.address_space != kUnlimited) {
    TakeSmaller(limits.address_space / 4 * 3, "RLIMIT_AS", &memory);
  }
  if (limits.data != kUnlimited) {
    TakeSmaller(limits.data / 4 * 3, "RLIMIT_DATA", &memory);
  }
  return memory;
}

}  // namespace lossd::machine
