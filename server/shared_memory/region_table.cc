#include "server/shared_memory/region_table.h"

#include <sys/random.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"
#include "server/shared_memory/lent_memory.h"

namespace lossd::shared_memory {
namespace {

constexpr size_t kNameBytes = 16;

// A name is the right to use the region (D38), so it is made of the kernel's
// random bytes.
absl::StatusOr<std::string> RandomName() {
  std::string bytes(kNameBytes, '\0');
  ssize_t got;
  do {
    got = getrandom(bytes.data(), bytes.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got != static_cast<ssize_t>(bytes.size())) {
    return absl::InternalError("getrandom gave no name for a region");
  }
  return absl::BytesToHexString(bytes);
}

// Returns a name as messages show it: a client can send a name of megabytes.
std::string Shown(absl::string_view name) {
  return absl::CHexEscape(name.substr(0, 64));
}

int64_t BytesOf(const Region& region) {
  return static_cast<int64_t>(region.bytes().size());
}

// The bytes that count against the limits.
int64_t HostBytesOf(const Region& region) {
  return region.on_device() ? 0 : BytesOf(region);
}

}  // namespace

RegionTable::RegionTable(const RegionLimits& limits, DeviceLending* lending,
                         HostPinning* pinning)
    : limits_(limits), lending_(lending), pinning_(pinning) {}

RegionTable::~RegionTable() {
  regions_.clear();
  assert(bytes() == 0 && lent_bytes() == 0);
}

absl::Status RegionTable::CheckLimits(const Usage& usage, int64_t bytes) const {
  if (bytes > limits_.max_bytes_per_connection - usage.bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a region of ", bytes, " bytes: this connection has ", usage.bytes,
        " and may have ", limits_.max_bytes_per_connection));
  }
  if (static_cast<int64_t>(usage.names.size()) >=
      limits_.max_regions_per_connection) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "this connection has ", usage.names.size(), " regions, the most of ",
        limits_.max_regions_per_connection));
  }
  const int64_t taken = this->bytes();
  if (bytes > limits_.max_bytes - taken) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a region of ", bytes, " bytes: all regions have ", taken,
                     " and may have ", limits_.max_bytes));
  }
  return absl::OkStatus();
}

// Regions that end meanwhile only lower the sum, so it stays within the limit.
absl::Status RegionTable::TakeBytes(Connection owner, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  Usage& usage = usage_[owner];
  RETURN_IF_ERROR(CheckLimits(usage, bytes));
  usage.bytes += bytes;
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return absl::OkStatus();
}

void RegionTable::ReturnBytes(Connection owner, int64_t bytes) {
  absl::MutexLock lock(&mu_);
  usage_[owner].bytes -= bytes;
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

// The bytes of a region count until its memory is given back.
std::shared_ptr<const Region> RegionTable::Share(
    std::unique_ptr<Region> region) {
  std::atomic<int64_t>& taken = region->on_device() ? lent_bytes_ : bytes_;
  const int64_t pinned = region->pinned() ? BytesOf(*region) : 0;
  pinned_bytes_.fetch_add(pinned, std::memory_order_relaxed);
  return std::shared_ptr<const Region>(
      region.release(), [this, &taken, pinned](const Region* ended) {
        const int64_t bytes = BytesOf(*ended);
        delete ended;
        taken.fetch_sub(bytes, std::memory_order_relaxed);
        pinned_bytes_.fetch_sub(pinned, std::memory_order_relaxed);
      });
}

absl::StatusOr<RegionTable::Registered> RegionTable::Add(
    Connection owner, std::unique_ptr<Region> region, FileDescriptor file) {
  absl::StatusOr<std::string> name = RandomName();
  if (!name.ok()) return name.status();
  Registered made = {.name = *std::move(name),
                     .byte_size = region->bytes().size(),
                     .file = std::move(file)};
  if (region->on_device()) {
    lent_bytes_.fetch_add(BytesOf(*region), std::memory_order_relaxed);
  }
  absl::MutexLock lock(&mu_);
  regions_[made.name] = {owner, Share(std::move(region))};
  usage_[owner].names.insert(made.name);
  return made;
}

absl::StatusOr<RegionTable::Registered> RegionTable::AddShared(
    Connection owner, uint64_t byte_size) {
  absl::StatusOr<Region::Created> created =
      Region::Create(byte_size, &machine::AvailableMemory, pinning_);
  if (!created.ok()) return created.status();
  return Add(owner, std::move(created->region), std::move(created->file));
}

absl::StatusOr<RegionTable::Registered> RegionTable::Register(
    Connection owner, uint64_t byte_size) {
  if (byte_size == 0) return absl::InvalidArgumentError("a region of 0 bytes");
  constexpr uint64_t kMost = uint64_t{1} << 62;  // no limit is above it
  const auto bytes =
      static_cast<int64_t>(std::min(WholePages(byte_size), kMost));
  RETURN_IF_ERROR(TakeBytes(owner, bytes));
  absl::StatusOr<Registered> made = AddShared(owner, byte_size);
  if (!made.ok()) ReturnBytes(owner, bytes);
  return made;
}

absl::StatusOr<RegionTable::Registered> RegionTable::RegisterLent(
    Connection owner, const v1::RegisterDeviceMemory& lent) {
  if (lending_ == nullptr) {
    return absl::UnimplementedError("this server computes on no GPU");
  }
  RETURN_IF_ERROR(TakeBytes(owner, 0));
  absl::StatusOr<std::unique_ptr<Region>> region =
      OpenLentMemory(*lending_, lent);
  if (!region.ok()) return region.status();
  return Add(owner, *std::move(region));
}

absl::Status RegionTable::Release(Connection owner, absl::string_view name) {
  std::shared_ptr<const Region> ended;  // destroyed after the lock is released
  absl::MutexLock lock(&mu_);
  const auto found = regions_.find(name);
  if (found == regions_.end()) return NoSuchRegion(name);
  if (found->second.owner != owner) {
    return absl::FailedPreconditionError(
        absl::StrCat("region ", Shown(name), " is another connection's"));
  }
  ended = std::move(found->second.region);
  regions_.erase(found);
  Usage& usage = usage_[owner];
  usage.bytes -= HostBytesOf(*ended);
  usage.names.erase(name);
  Remember(std::string(name));
  return absl::OkStatus();
}

void RegionTable::ReleaseAll(Connection owner) {
  std::vector<std::shared_ptr<const Region>> ended;
  absl::MutexLock lock(&mu_);
  const auto usage = usage_.find(owner);
  if (usage == usage_.end()) return;
  for (const std::string& name : usage->second.names) {
    const auto found = regions_.find(name);
    ended.push_back(std::move(found->second.region));
    regions_.erase(found);
    Remember(name);
  }
  usage_.erase(usage);
}

absl::StatusOr<std::shared_ptr<const Region>> RegionTable::Find(
    absl::string_view name) const {
  absl::ReaderMutexLock lock(&mu_);
  const auto found = regions_.find(name);
  if (found == regions_.end()) return NoSuchRegion(name);
  return found->second.region;
}

absl::Status RegionTable::NoSuchRegion(absl::string_view name) const {
  if (ended_.contains(name)) {
    return absl::FailedPreconditionError(
        absl::StrCat("region ", Shown(name),
                     " is gone: it was released, or its connection closed"));
  }
  return absl::NotFoundError(absl::StrCat("no region ", Shown(name)));
}

void RegionTable::Remember(std::string name) {
  if (limits_.max_remembered_names == 0) return;
  if (ended_order_.size() == limits_.max_remembered_names) {
    ended_.erase(ended_order_.front());
    ended_order_.pop_front();
  }
  ended_.insert(name);
  ended_order_.push_back(std::move(name));
}

}  // namespace lossd::shared_memory
