// Host memory on the NUMA node of a device.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_NUMA_H_
#define LOSSD_SERVER_EXECUTION_CUDA_NUMA_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace lossd::execution::cuda {

inline constexpr int kAnyNode = -1;

// Returns the NUMA node of a PCI device ("0000:3B:00.0", in either case), or
// kAnyNode if the machine has one node or does not say. Tests pass their own
// `sysfs`.
int NodeOfPciDevice(std::string_view bus_id, const std::string& sysfs = "/sys");

// Maps `bytes` bytes, at least 1, that begin at a page. They lie on `node`,
// unless that is full or a container forbids the choice. From Linux 5.14 on
// they are allocated at once. Errors: RESOURCE_EXHAUSTED if there is no memory.
absl::StatusOr<std::span<std::byte>> MapOnNode(size_t bytes, int node);

// Unmaps memory of MapOnNode().
void Unmap(std::span<std::byte> memory);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_NUMA_H_
