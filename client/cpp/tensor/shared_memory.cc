#include "client/cpp/tensor/shared_memory.h"

#include <sys/mman.h>

#include "client/cpp/tensor/region_socket.h"

namespace lossd::client {

absl::StatusOr<std::unique_ptr<SharedMemory>> SharedMemory::Connect(
    const std::string& path) {
  absl::StatusOr<std::shared_ptr<RegionSocket>> socket =
      RegionSocket::Connect(path);
  if (!socket.ok()) return socket.status();
  return std::unique_ptr<SharedMemory>(new SharedMemory(*std::move(socket)));
}

absl::StatusOr<std::unique_ptr<SharedRegion>> SharedMemory::Allocate(
    size_t byte_size) {
  v1::SharedMemoryRequest request;
  request.mutable_register_region()->set_byte_size(byte_size);
  const absl::StatusOr<RegionSocket::Answer> answer = socket_->Ask(request);
  if (!answer.ok()) return answer.status();
  const v1::SharedMemoryReply& reply = answer->reply;
  const size_t size = reply.region().byte_size();
  // The pages are populated at once, so that the first step of a training run
  // costs as much as the others.
  const FileDescriptor& file = answer->file;
  void* const mapped = file.open()
                           ? mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_POPULATE, file.number(), 0)
                           : MAP_FAILED;
  const bool good = mapped != MAP_FAILED;
  // The region is owned from here on, so that it is released if it cannot be
  // mapped.
  std::unique_ptr<SharedRegion> region(new SharedRegion(
      socket_, reply.region().name(),
      {good ? static_cast<std::byte*>(mapped) : nullptr, good ? size : 0},
      /*mapped=*/good));
  if (!good) {
    return absl::ResourceExhaustedError(
        "shared memory: the region cannot be mapped");
  }
  return region;
}

absl::StatusOr<std::unique_ptr<SharedRegion>> SharedMemory::Lend(
    const DeviceMemoryHandle& memory) {
  const auto text = [](const auto& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()),
                       bytes.size());
  };
  v1::SharedMemoryRequest request;
  v1::RegisterDeviceMemory& lent = *request.mutable_register_device_memory();
  lent.set_device_uuid(text(memory.device_uuid));
  lent.set_ipc_handle(text(memory.ipc_handle));
  lent.set_offset(memory.offset);
  lent.set_byte_size(memory.bytes.size());
  const absl::StatusOr<RegionSocket::Answer> answer = socket_->Ask(request);
  if (!answer.ok()) return answer.status();
  return std::unique_ptr<SharedRegion>(new SharedRegion(
      socket_, answer->reply.region().name(), memory.bytes, /*mapped=*/false));
}

SharedRegion::~SharedRegion() {
  if (mapped_) munmap(bytes_.data(), bytes_.size());
  v1::SharedMemoryRequest request;
  request.mutable_release_region()->set_name(name_);
  // An error means that the server is gone, and with it the region.
  socket_->Ask(request).IgnoreError();
}

}  // namespace lossd::client
