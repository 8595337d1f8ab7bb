#include "server/machine/cpus.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/machine/control_groups.h"

namespace lossd::machine {
namespace {

// The processor time that a group may use in each period.
struct Quota {
  int64_t quota = 0;
  int64_t period = 1;
};

// Returns the quota of a group, or nothing if it has none.
std::optional<Quota> QuotaOf(const GroupFolder& group) {
  Quota quota;
  if (group.version == GroupVersion::kV1) {
    quota.quota = ReadNumber(group.path + "/cpu.cfs_quota_us").value_or(0);
    quota.period = ReadNumber(group.path + "/cpu.cfs_period_us").value_or(0);
  } else {
    const std::string text = ReadText(group.path + "/cpu.max").value_or("");
    const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
    if (words.size() != 2 || !absl::SimpleAtoi(words[0], &quota.quota) ||
        !absl::SimpleAtoi(words[1], &quota.period)) {
      return std::nullopt;
    }
  }
  if (quota.quota <= 0 || quota.period <= 0) return std::nullopt;
  return quota;
}

// A machine may have more processors than a cpu_set_t has bits.
int Affinity() {
  for (int bits = CPU_SETSIZE; bits <= 1 << 20; bits *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(
        CPU_ALLOC(static_cast<size_t>(bits)),
        [](cpu_set_t* memory) { CPU_FREE(memory); });
    if (set == nullptr) break;
    const size_t size = CPU_ALLOC_SIZE(static_cast<size_t>(bits));
    if (sched_getaffinity(0, size, set.get()) == 0) {
      return CPU_COUNT_S(size, set.get());
    }
    if (errno != EINVAL) break;
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

Cpus UsableCpus() { return UsableCpus(Affinity(), "/"); }

Cpus UsableCpus(int affinity, const std::string& root) {
  Cpus cpus = {std::max(1, affinity), "affinity"};
  for (const GroupFolder& group : GroupsOf("cpu", root)) {
    const std::optional<Quota> quota = QuotaOf(group);
    if (!quota) continue;
    const int64_t whole = (quota->quota - 1) / quota->period + 1;
    if (whole >= cpus.count) continue;
    cpus = {static_cast<int>(whole),
            absl::StrCat("quota of ", quota->quota, "/", quota->period, " in ",
                         group.path)};
  }
  return cpus;
}

}  // namespace lossd::machine
