#include "server/shared_memory/lent_memory.h"

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lossd::shared_memory {
namespace {

// So that a gradient may begin where a region does.
constexpr uint64_t kAlignment = 64;

class LentMemory final : public Region {
 public:
  LentMemory(Devices& devices, const DeviceAllocation& allocation,
             std::span<std::byte> part)
      : Region(part, allocation.device),
        devices_(devices),
        allocation_(allocation) {}
  ~LentMemory() override { devices_.Close(allocation_); }

 private:
  Devices& devices_;
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

// Never a sum of the two: it could overflow.
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
    Devices& devices, const v1::RegisterDeviceMemory& lent) {
  DeviceUuid uuid;
  IpcHandle handle;
  absl::Status status = Read("device_uuid", lent.device_uuid(), &uuid);
  if (status.ok()) status = Read("ipc_handle", lent.ipc_handle(), &handle);
  if (!status.ok()) return status;
  if (lent.byte_size() == 0) {
    return absl::InvalidArgumentError("byte_size: a region of 0 bytes");
  }
  if (lent.offset() % kAlignment != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "offset: ", lent.offset(), " is not a multiple of ", kAlignment));
  }
  const absl::StatusOr<DeviceAllocation> opened = devices.Open(uuid, handle);
  if (!opened.ok()) return opened.status();
  status = CheckPart(lent, opened->bytes.size());
  if (!status.ok()) {
    devices.Close(*opened);
    return status;
  }
  return std::make_unique<LentMemory>(
      devices, *opened, opened->bytes.subspan(lent.offset(), lent.byte_size()));
}

}  // namespace lossd::shared_memory
