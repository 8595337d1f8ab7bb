#include "server/execution/cuda/numa.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <fstream>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace lossd::execution::cuda {
namespace {

constexpr int kMaxNodes = 1024;  // Linux has no more

absl::Status NoMemory(std::string_view call, size_t bytes) {
  return absl::ResourceExhaustedError(
      absl::StrCat(std::string(call), " of ", bytes,
                   " bytes: ", absl::ErrnoToStatus(errno, "").message()));
}

// Calls the system directly, so that the server does not depend on libnuma. The
// call may fail in containers that filter it; the pages then come from the node
// on which this thread runs.
void PreferNode(std::span<std::byte> memory, int node) {
  constexpr size_t bits = sizeof(unsigned long) * CHAR_BIT;
  if (node < 0 || node >= kMaxNodes) return;
  const auto bit = static_cast<size_t>(node);
  std::array<unsigned long, kMaxNodes / bits> nodes{};
  nodes[bit / bits] = 1UL << (bit % bits);
  syscall(SYS_mbind, memory.data(), memory.size(), MPOL_PREFERRED, nodes.data(),
          kMaxNodes + 1UL, 0U);
}

}  // namespace

int NodeOfPciDevice(std::string_view bus_id, const std::string& sysfs) {
  const std::string name =
      absl::AsciiStrToLower(absl::string_view(bus_id.data(), bus_id.size()));
  std::ifstream file(
      absl::StrCat(sysfs, "/bus/pci/devices/", name, "/numa_node"));
  int node = kAnyNode;
  return file >> node && node >= 0 ? node : kAnyNode;
}

absl::StatusOr<std::span<std::byte>> MapOnNode(size_t bytes, int node) {
  void* const mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return NoMemory("mmap", bytes);
  const std::span memory(static_cast<std::byte*>(mapped), bytes);
  PreferNode(memory, node);
  // With huge pages the device has fewer pages to map.
  madvise(mapped, bytes, MADV_HUGEPAGE);
  // Pages get their node when they are first touched, so they are touched now.
  // Before Linux 5.14 this fails with EINVAL, and pinning touches them.
  if (madvise(mapped, bytes, MADV_POPULATE_WRITE) != 0 && errno != EINVAL) {
    const absl::Status status = NoMemory("madvise", bytes);
    Unmap(memory);
    return status;
  }
  return memory;
}

void Unmap(std::span<std::byte> memory) {
  munmap(memory.data(), memory.size());
}

}  // namespace lossd::execution::cuda
