#include "server/shared_memory/lent_memory.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"

namespace lossd::shared_memory {
namespace {

class LentRegion final : public Region {
 public:
  LentRegion(DeviceLending& lending, const DeviceAllocation& allocation,
             std::span<std::byte> part)
      : Region(part, allocation.device),
        lending_(lending),
        allocation_(allocation) {}
  ~LentRegion() override { lending_.Close(allocation_); }

 private:
  DeviceLending& lending_;
  const DeviceAllocation allocation_;
};

template <size_t kSize>
absl::Status Read(absl::string_view field, const std::string& bytes,
                  std::array<std::byte, kSize>* to) {
  if (bytes.size() != kSize) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": ", bytes.size(), " bytes, it has ", kSize));
  }
  std::memcpy(to->data(), bytes.data(), kSize);
  return absl::OkStatus();
}

// Offset and size are not added: the sum could overflow.
absl::Status CheckPart(const v1::RegisterDeviceMemory& lent, uint64_t size) {
  if (lent.offset() <= size && lent.byte_size() <= size - lent.offset()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("byte_size: ", lent.byte_size(), " bytes from ",
                   lent.offset(), " are not within the allocation's ", size));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Region>> OpenLentMemory(
    DeviceLending& lending, const v1::RegisterDeviceMemory& lent) {
  DeviceUuid uuid;
  IpcHandle handle;
  RETURN_IF_ERROR(Read("device_uuid", lent.device_uuid(), &uuid));
  RETURN_IF_ERROR(Read("ipc_handle", lent.ipc_handle(), &handle));
  if (lent.byte_size() == 0) {
    return absl::InvalidArgumentError("byte_size: a region of 0 bytes");
  }
  if (lent.offset() % kRegionAlignment != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "offset: ", lent.offset(), " is not a multiple of ", kRegionAlignment));
  }
  const absl::StatusOr<DeviceAllocation> opened = lending.Open(uuid, handle);
  if (!opened.ok()) return opened.status();
  if (absl::Status s = CheckPart(lent, opened->bytes.size()); !s.ok()) {
    lending.Close(*opened);
    return s;
  }
  return std::make_unique<LentRegion>(
      lending, *opened, opened->bytes.subspan(lent.offset(), lent.byte_size()));
}

}  // namespace lossd::shared_memory
