// The memory that is left on this machine.
#ifndef LOSSD_SERVER_SHARED_MEMORY_AVAILABLE_MEMORY_H_
#define LOSSD_SERVER_SHARED_MEMORY_AVAILABLE_MEMORY_H_

#include <cstdint>

namespace lossd::shared_memory {

// Returns the bytes that can be taken before Linux has to swap, or to kill
// processes: its own estimate (MemAvailable), or what is left within the limit
// of this container (cgroup 2) if that is less. Returns 0 where Linux does not
// tell. Reads files at each call. Thread-safe.
uint64_t AvailableMemory();

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_AVAILABLE_MEMORY_H_
