// Host memory near to a device.
#ifndef LOSSD_SERVER_EXECUTION_CUDA_NUMA_H_
#define LOSSD_SERVER_EXECUTION_CUDA_NUMA_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace lossd::execution::cuda {

inline constexpr int kAnyNode = -1;

// The NUMA node of a PCI device ("0000:3B:00.0", in either case), or kAnyNode:
// the machine has one node, or does not say. `sysfs` is another for tests.
int NodeOfPciDevice(std::string_view bus_id, const std::string& sysfs = "/sys");

// `bytes`, at least 1, that begin at a page, on `node` where it has them: a
// full node, and a container that may not choose, get them from elsewhere. They
// are there, not only promised (from Linux 5.14 on). RESOURCE_EXHAUSTED if the
// machine has none.
absl::StatusOr<std::span<std::byte>> MapOnNode(size_t bytes, int node);

// Ends what MapOnNode() gave.
void Unmap(std::span<std::byte> memory);

}  // namespace lossd::execution::cuda

#endif  // LOSSD_SERVER_EXECUTION_CUDA_NUMA_H_
