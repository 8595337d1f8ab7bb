#include "server/door/descriptor_limit.h"

#include <sys/resource.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <limits>
#include <system_error>

namespace lossd::door {
namespace {

// Returns how many descriptors are open, or a usual number if /proc is missing.
int64_t OpenDescriptors() {
  constexpr int64_t kUsual = 64;
  std::error_code error;
  const std::filesystem::directory_iterator open("/proc/self/fd", error);
  return error ? kUsual : std::distance(begin(open), end(open));
}

}  // namespace

int64_t DescriptorLimit() {
  rlimit limit = {};
  getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t kMost = std::numeric_limits<int32_t>::max();
  return static_cast<int64_t>(std::min(limit.rlim_cur, kMost));
}

void RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int64_t DefaultMaxConnections() {
  const int64_t free = DescriptorLimit() - OpenDescriptors();
  return std::max<int64_t>(free * 9 / 10, 1);
}

}  // namespace lossd::door
