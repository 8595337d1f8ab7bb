// How much memory this process may use.
#ifndef LOSSD_SERVER_MACHINE_MEMORY_H_
#define LOSSD_SERVER_MACHINE_MEMORY_H_

#include <cstdint>
#include <limits>
#include <string>

namespace lossd::machine {

// A number of bytes, and where it comes from, for people.
struct Memory {
  int64_t bytes = std::numeric_limits<int64_t>::max();
  std::string reason;
};

// The limits that setrlimit() sets; by default there are none.
struct ResourceLimits {
  int64_t address_space = std::numeric_limits<int64_t>::max();  // RLIMIT_AS
  int64_t data = std::numeric_limits<int64_t>::max();           // RLIMIT_DATA
};

// Returns the smallest of: the machine's memory; the limits of the control
// groups (memory.max, or memory.limit_in_bytes of cgroup 1); RLIMIT_AS and
// RLIMIT_DATA. The last two count addresses, most of which are never touched: a
// quarter of them is left for stacks and the heap's reserves. Thread-safe.
Memory UsableMemory();

// Does the same for these limits and the files below `root`.
Memory UsableMemory(const ResourceLimits& limits, const std::string& root);

}  // namespace lossd::machine

#endif  // LOSSD_SERVER_MACHINE_MEMORY_H_
