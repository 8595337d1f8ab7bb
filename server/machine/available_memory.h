// The memory that is left for this process.
#ifndef LOSSD_SERVER_MACHINE_AVAILABLE_MEMORY_H_
#define LOSSD_SERVER_MACHINE_AVAILABLE_MEMORY_H_

#include <cstdint>
#include <string>

namespace lossd::machine {

// Returns the bytes that can be taken before Linux has to swap, or to kill
// processes: its own estimate (MemAvailable), or what is left within the limit
// of one of the control groups (of cgroup 1 or 2) if that is less. Returns 0
// where Linux does not tell. Reads files at each call. Thread-safe.
uint64_t AvailableMemory();

// Does the same for the files below `root`.
uint64_t AvailableMemory(const std::string& root);

}  // namespace lossd::machine

#endif  // LOSSD_SERVER_MACHINE_AVAILABLE_MEMORY_H_
