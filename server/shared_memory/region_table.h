// The table of all regions: their names, their owners and their limits.
#ifndef LOSSD_SERVER_SHARED_MEMORY_REGION_TABLE_H_
#define LOSSD_SERVER_SHARED_MEMORY_REGION_TABLE_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/file_descriptor.h"
#include "lossd/v1/shared_memory.pb.h"
#include "server/base/device_lending.h"
#include "server/base/host_pinning.h"
#include "server/shared_memory/region.h"

namespace lossd::shared_memory {

struct RegionLimits {
  // Shared memory of all regions together, in bytes of whole pages. A region
  // counts until the last request that holds it has ended. Lent device memory
  // belongs to the clients and does not count.
  int64_t max_bytes = int64_t{4} << 30;
  int64_t max_bytes_per_connection = int64_t{1} << 30;
  // Regions of lent device memory count too. Each region is a mapping of the
  // process, of which Linux allows 65530.
  int64_t max_regions_per_connection = 256;
  // The names of so many ended regions, the newest ones, are still told apart
  // from names that never existed.
  size_t max_remembered_names = 4096;
};

// The number of a connection of the region socket; no number is used twice.
using Connection = uint64_t;

// Makes, finds and ends regions, within limits. Thread-safe; no other mutex is
// taken while its mutex is held, and no memory is mapped or unmapped then. The
// table outlives its regions.
class RegionTable {  // D38
 public:
  // `lending` and `pinning` are borrowed, and null if the server computes on no
  // GPU.
  explicit RegionTable(const RegionLimits& limits,
                       DeviceLending* lending = nullptr,
                       HostPinning* pinning = nullptr);
  // No request holds a region by then.
  ~RegionTable();
  RegionTable(const RegionTable&) = delete;
  RegionTable& operator=(const RegionTable&) = delete;

  struct Registered {
    std::string name;  // 128 random bits, as 32 hexadecimal digits
    uint64_t byte_size = 0;
    FileDescriptor file;  // for the client; none for lent device memory
  };

  // Makes a region of shared memory for `owner`. INVALID_ARGUMENT for 0 bytes,
  // RESOURCE_EXHAUSTED if a limit is reached or the machine has no more memory.
  absl::StatusOr<Registered> Register(Connection owner, uint64_t byte_size);

  // Makes a region of the device memory that `owner` lends. RESOURCE_EXHAUSTED
  // beyond the number of regions, UNIMPLEMENTED without GPUs, and the errors of
  // OpenLentMemory().
  absl::StatusOr<Registered> RegisterLent(Connection owner,
                                          const v1::RegisterDeviceMemory& lent);

  // Ends a region: Find() no longer finds it, and its memory is given back when
  // the last request that holds it ends. NOT_FOUND for an unknown name,
  // FAILED_PRECONDITION for a region of another connection and for one that has
  // ended.
  absl::Status Release(Connection owner, absl::string_view name);

  // Ends all regions of `owner`.
  void ReleaseAll(Connection owner);

  // Returns the region with that name. The pointer is shared because a region
  // may end while a request reads it: the memory then stays mapped until the
  // request has ended too. NOT_FOUND for an unknown name, FAILED_PRECONDITION
  // for a region that has ended.
  absl::StatusOr<std::shared_ptr<const Region>> Find(
      absl::string_view name) const;

  // The shared memory that exists now.
  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // The shared memory that is pinned for GPUs now.
  int64_t pinned_bytes() const {
    return pinned_bytes_.load(std::memory_order_relaxed);
  }
  // The device memory that is lent now; memory that is lent twice counts twice.
  int64_t lent_bytes() const {
    return lent_bytes_.load(std::memory_order_relaxed);
  }

 private:
  struct Entry {
    Connection owner = 0;
    std::shared_ptr<const Region> region;
  };
  struct Usage {
    int64_t bytes = 0;
    absl::flat_hash_set<std::string> names;
  };

  absl::Status CheckLimits(const Usage& usage, int64_t bytes) const;
  absl::Status TakeBytes(Connection owner, int64_t bytes);
  void ReturnBytes(Connection owner, int64_t bytes);
  std::shared_ptr<const Region> Share(std::unique_ptr<Region> region);
  // Makes shared memory whose bytes are taken.
  absl::StatusOr<Registered> AddShared(Connection owner, uint64_t byte_size);
  // Gives the region a name and puts it into the table.
  absl::StatusOr<Registered> Add(Connection owner,
                                 std::unique_ptr<Region> region,
                                 FileDescriptor file = FileDescriptor());
  absl::Status NoSuchRegion(absl::string_view name) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Remember(std::string name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RegionLimits limits_;
  DeviceLending* const lending_;
  HostPinning* const pinning_;
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> pinned_bytes_{0};
  std::atomic<int64_t> lent_bytes_{0};

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> regions_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<Connection, Usage> usage_ ABSL_GUARDED_BY(mu_);
  // The names of ended regions, oldest first, and as a set.
  std::deque<std::string> ended_order_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<std::string> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_TABLE_H_
