// GPUs whose memory no code of this process can read.
#ifndef LOSSD_TESTS_SERVER_SHARED_MEMORY_FAKE_DEVICES_H_
#define LOSSD_TESTS_SERVER_SHARED_MEMORY_FAKE_DEVICES_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "lossd/v1/shared_memory.pb.h"
#include "server/base/device_lending.h"

namespace lossd::shared_memory {

// Two GPUs with one allocation each, at addresses that this process has not
// mapped: a read there crashes. Each byte of a UUID and of a handle is the
// GPU's number plus 1. Thread-safe except for `fails_with`.
class FakeDevices final : public DeviceLending {
 public:
  static constexpr uint64_t kBytes = uint64_t{1} << 20;

  absl::StatusOr<DeviceAllocation> Open(const DeviceUuid& uuid,
                                        const IpcHandle& handle) override {
    if (!fails_with.ok()) return fails_with;
    const int number = std::to_integer<int>(uuid[0]) - 1;
    if (number > 1) return absl::NotFoundError("no such GPU");
    if (handle[0] != uuid[0]) return absl::InvalidArgumentError("no memory");
    ++opened;
    return DeviceAllocation{number, {AddressOf(number), kBytes}};
  }
  void Close(const DeviceAllocation& allocation) override {
    if (allocation.bytes.data() == AddressOf(allocation.device)) ++closed;
  }

  static std::byte* AddressOf(int number) {
    return reinterpret_cast<std::byte*>((uintptr_t{1} << 60) *
                                        static_cast<unsigned>(number + 1));
  }

  // Returns a request that lends a part of a GPU's allocation.
  static v1::RegisterDeviceMemory Part(int number, uint64_t offset,
                                       uint64_t byte_size) {
    const char byte = static_cast<char>(number + 1);
    v1::RegisterDeviceMemory lent;
    lent.set_device_uuid(std::string(sizeof(DeviceUuid), byte));
    lent.set_ipc_handle(std::string(sizeof(IpcHandle), byte));
    lent.set_offset(offset);
    lent.set_byte_size(byte_size);
    return lent;
  }

  absl::Status fails_with;  // Open() returns it unless it is OK
  std::atomic<int> opened = 0;
  std::atomic<int> closed = 0;
};

}  // namespace lossd::shared_memory

#endif  // LOSSD_TESTS_SERVER_SHARED_MEMORY_FAKE_DEVICES_H_
