// How much memory the machine has left.
#ifndef LOSSD_SERVER_SHARED_MEMORY_AVAILABLE_MEMORY_H_
#define LOSSD_SERVER_SHARED_MEMORY_AVAILABLE_MEMORY_H_

#include <cstdint>

namespace lossd::shared_memory {

// Bytes that can be taken before Linux has to swap or to kill: what it
// estimates itself, within the limit of this container (cgroup 2) if it has
// one. 0 where Linux does not say.
uint64_t AvailableMemory();

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_AVAILABLE_MEMORY_H_
