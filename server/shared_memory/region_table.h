// Which regions there are, whose they are, and what they may take.
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
#include "lossd/v1/shared_memory.pb.h"
#include "server/base/device_lending.h"
#include "server/base/file_descriptor.h"
#include "server/shared_memory/region.h"

namespace lossd::shared_memory {

struct RegionLimits {
  // Of all regions together, in whole pages; a region counts until the last
  // request that holds it has ended. Memory of GPUs is the clients' own and
  // counts as nothing.
  int64_t max_bytes = int64_t{4} << 30;
  int64_t max_bytes_per_connection = int64_t{1} << 30;
  // Each is a mapping of the process, of which Linux allows 65530. Those on
  // GPUs count too.
  int64_t max_regions_per_connection = 256;
  // Names of ended regions, the newest ones, that are still told apart from
  // names that never were.
  size_t max_remembered_names = 4096;
};

// A connection of the socket, for as long as it lasts; never used twice.
using Connection = uint64_t;

// Thread-safe. Its lock is a leaf, and no memory is mapped or unmapped under
// it. Outlives its regions.
class RegionTable {  // D38
 public:
  // `devices` is borrowed; null: the server computes on no GPU.
  explicit RegionTable(const RegionLimits& limits, Devices* devices = nullptr);
  ~RegionTable();  // nobody holds a region by then
  RegionTable(const RegionTable&) = delete;
  RegionTable& operator=(const RegionTable&) = delete;

  struct Registered {
    std::string name;  // 128 random bits, as 32 hexadecimal digits
    uint64_t byte_size = 0;
    FileDescriptor file;  // for the client; none of a GPU's memory
  };

  // A new region of `owner`; or INVALID_ARGUMENT for 0 bytes,
  // RESOURCE_EXHAUSTED if a limit is reached or the machine has no more.
  absl::StatusOr<Registered> Register(Connection owner, uint64_t byte_size);

  // Memory of a GPU that `owner` lends, as a region of its own; or what
  // OpenLentMemory() says, RESOURCE_EXHAUSTED beyond the number of regions,
  // UNIMPLEMENTED without GPUs.
  absl::StatusOr<Registered> RegisterLent(Connection owner,
                                          const v1::RegisterDeviceMemory& lent);

  // Ends a region: nobody finds it again, and its memory goes when the last
  // holder lets go. NOT_FOUND, or FAILED_PRECONDITION for a region of another
  // connection and for one that is gone.
  absl::Status Release(Connection owner, absl::string_view name);

  // The same for all that `owner` has.
  void ReleaseAll(Connection owner);

  // The region of that name. The pointer is shared because a region may end
  // while a request reads it: the memory then stays mapped until that request
  // has ended too. NOT_FOUND, or FAILED_PRECONDITION if it is gone.
  absl::StatusOr<std::shared_ptr<const Region>> Find(
      absl::string_view name) const;

  // What all regions take of the host's memory now.
  int64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }
  // What clients lend of GPUs' memory now; what is lent twice counts twice.
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
  // Names the region and lets it be found.
  absl::Status Add(Connection owner, std::unique_ptr<Region> region,
                   Registered* made);
  absl::Status NoSuchRegion(absl::string_view name) const
      ABSL_SHARED_LOCKS_REQUIRED(mu_);
  void Remember(std::string name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const RegionLimits limits_;
  Devices* const devices_;
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> lent_bytes_{0};

  mutable absl::Mutex mu_;
  absl::flat_hash_map<std::string, Entry> regions_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<Connection, Usage> usage_ ABSL_GUARDED_BY(mu_);
  // Ended names, oldest first, and the same as a set.
  std::deque<std::string> ended_order_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<std::string> ended_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::shared_memory

#endif  // LOSSD_SERVER_SHARED_MEMORY_REGION_TABLE_H_
