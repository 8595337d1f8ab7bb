#include "server/shared_memory/region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lossd::shared_memory {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 63;

// With these seals the size of the file is final: nobody can take a page from
// under a mapping, nor add or lift a seal.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

absl::Status NoMemory(absl::string_view call, uint64_t byte_size) {
  const int error = errno;
  return absl::ResourceExhaustedError(
      absl::StrCat("no shared memory of ", byte_size, " bytes: ", call, ": ",
                   absl::ErrnoToStatus(error, "").message()));
}

class SharedRegion final : public Region {
 public:
  SharedRegion(std::span<std::byte> bytes, HostPinning* pinning)
      : Region(bytes, std::nullopt, pinning != nullptr && pinning->Pin(bytes)),
        pinning_(pinning) {}
  // Without MADV_REMOVE a client that keeps its mapping would keep the pages,
  // beyond any limit. The call fails only if there is nothing to give back.
  ~SharedRegion() override {
    if (pinned() && !pinning_->Unpin(bytes())) return;
    madvise(bytes().data(), bytes().size(), MADV_REMOVE);
    munmap(bytes().data(), bytes().size());
  }

 private:
  HostPinning* const pinning_;  // or null
};

// Memory that is left to all other processes.
constexpr uint64_t kReserve = uint64_t{128} << 20;

// Pages are taken in steps of this size, and the memory that is available is
// read again before each step.
constexpr uint64_t kStep = uint64_t{64} << 20;

bool Has(Region::Available available, uint64_t byte_size) {
  const uint64_t left = available();
  if (left >= kReserve && byte_size <= left - kReserve) return true;
  errno = ENOMEM;
  return false;
}

// Takes the pages now: later, the first write to a page that a full machine
// does not have would end the server (SIGBUS). On a full machine fallocate()
// does not fail but goes on until the system kills processes for their memory,
// so it is only asked for memory that is available.
bool TakePages(int file, uint64_t byte_size, Region::Available available) {
  for (uint64_t taken = 0; taken < byte_size;) {
    const uint64_t step = std::min(kStep, byte_size - taken);
    if (!Has(available, step)) return false;
    if (fallocate(file, 0, static_cast<off_t>(taken),
                  static_cast<off_t>(step)) == 0) {
      taken += step;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

uint64_t WholePages(uint64_t byte_size) {
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (byte_size > kMaxBytes - page) return kMaxBytes;
  return (byte_size + page - 1) / page * page;
}

absl::StatusOr<Region::Created> Region::Create(uint64_t byte_size,
                                               Available available,
                                               HostPinning* pinning) {
  const uint64_t size = WholePages(byte_size);
  if (size == 0) return absl::InvalidArgumentError("a region of 0 bytes");
  if (!Has(available, size)) return NoMemory("available", size);
  FileDescriptor file(
      memfd_create("lossd_region", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.open()) return NoMemory("memfd_create", size);
  if (ftruncate(file.number(), static_cast<off_t>(size)) != 0) {
    return NoMemory("ftruncate", size);
  }
  if (!TakePages(file.number(), size, available))
    return NoMemory("fallocate", size);
  if (fcntl(file.number(), F_ADD_SEALS, kSeals) != 0) {
    return NoMemory("fcntl", size);
  }
  // MAP_POPULATE fills the page tables now, so that no request has to.
  void* const mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_POPULATE, file.number(), 0);
  if (mapped == MAP_FAILED) return NoMemory("mmap", size);
  return Created{std::make_unique<SharedRegion>(
                     std::span(static_cast<std::byte*>(mapped), size), pinning),
                 std::move(file)};
}

}  // namespace lossd::shared_memory
