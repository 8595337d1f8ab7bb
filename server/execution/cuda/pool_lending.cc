#include "server/execution/cuda/pool_lending.h"

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lossd::execution::cuda {
namespace {

std::optional<int> Find(const SlotPool& pool, const DeviceUuid& uuid) {
  for (int number = 0; number < pool.device_count(); ++number) {
    if (pool.device(number).uuid() == uuid) return number;
  }
  return std::nullopt;
}

std::string Shown(const DeviceUuid& uuid) {
  return absl::BytesToHexString(absl::string_view(
      reinterpret_cast<const char*>(uuid.data()), uuid.size()));
}

void CloseOn(Device& device, DeviceMemory memory) {
  GiveBack([&device, memory] { return device.CloseIpc(memory); });
}

}  // namespace

absl::StatusOr<DeviceAllocation> PoolLending::Open(const DeviceUuid& uuid,
                                                   const IpcHandle& handle) {
  const std::optional<int> number = Find(*pool_, uuid);
  if (!number) {
    return absl::NotFoundError(
        absl::StrCat("device_uuid: this server uses no GPU ", Shown(uuid)));
  }
  Device& device = pool_->device(*number);
  const std::string name(device.name());
  if (pool_->retired(*number)) {
    return absl::UnavailableError(absl::StrCat(name, " is lost"));
  }
  const absl::StatusOr<DeviceMemory> memory = device.OpenIpc(handle);
  if (!memory.ok()) {
    return absl::Status(
        memory.status().code(),
        absl::StrCat("ipc_handle: ", name, ": ", memory.status().message()));
  }
  if (reinterpret_cast<uintptr_t>(memory->address) % kRegionAlignment != 0) {
    CloseOn(device, *memory);
    return absl::InvalidArgumentError(absl::StrCat(
        "ipc_handle: an allocation that does not begin at a multiple of ",
        kRegionAlignment));
  }
  return DeviceAllocation{*number, {memory->address, memory->size}};
}

void PoolLending::Close(const DeviceAllocation& allocation) {
  CloseOn(pool_->device(allocation.device),
          {allocation.bytes.data(), allocation.bytes.size()});
}

}  // namespace lossd::execution::cuda
