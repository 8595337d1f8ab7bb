#include "server/shared_memory/region_protocol.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace lossd::shared_memory {
namespace {

// The contract (shared_memory.proto) has this limit.
constexpr size_t kMaxPacketBytes = 4096;

absl::StatusOr<Answer> AnswerWith(
    absl::StatusOr<RegionTable::Registered> made) {
  if (!made.ok()) return ErrorAnswer(made.status());
  Answer answer;
  v1::Region& region = *answer.reply.mutable_region();
  region.set_name(made->name);
  region.set_byte_size(made->byte_size);
  answer.file = std::move(made->file);
  return answer;
}

absl::StatusOr<Answer> Release(RegionTable& table, Connection owner,
                               const v1::ReleaseRegion& request) {
  const absl::Status released = table.Release(owner, request.name());
  if (!released.ok()) return ErrorAnswer(released);
  Answer answer;
  answer.reply.mutable_released();
  return answer;
}

}  // namespace

Answer ErrorAnswer(const absl::Status& status) {
  Answer answer;
  v1::SharedMemoryError& error = *answer.reply.mutable_error();
  error.set_code(static_cast<int32_t>(status.code()));
  error.set_message(std::string(status.message()));
  return answer;
}

absl::StatusOr<Answer> AnswerPacket(RegionTable& table, Connection owner,
                                    absl::string_view packet) {
  v1::SharedMemoryRequest request;
  if (!request.ParseFromArray(packet.data(), static_cast<int>(packet.size()))) {
    return absl::InvalidArgumentError("not a lossd.v1.SharedMemoryRequest");
  }
  switch (request.request_case()) {
    case v1::SharedMemoryRequest::kRegisterRegion:
      return AnswerWith(
          table.Register(owner, request.register_region().byte_size()));
    case v1::SharedMemoryRequest::kReleaseRegion:
      return Release(table, owner, request.release_region());
    case v1::SharedMemoryRequest::kRegisterDeviceMemory:
      return AnswerWith(
          table.RegisterLent(owner, request.register_device_memory()));
    case v1::SharedMemoryRequest::REQUEST_NOT_SET:
      break;
  }
  return ErrorAnswer(
      absl::InvalidArgumentError("a request that this server lacks"));
}

absl::StatusOr<std::string> Receive(int socket) {
  std::string packet(kMaxPacketBytes, '\0');
  iovec part = {packet.data(), packet.size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  ssize_t got;
  do {
    got = recvmsg(socket, &header, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
    return absl::UnavailableError("no packet");
  }
  if (got < 0) return absl::ErrnoToStatus(errno, "recvmsg");
  // An empty packet looks like the end; the contract has no empty packet.
  if (got == 0) return absl::CancelledError("closed");
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    return absl::InvalidArgumentError("a packet of more than 4096 bytes");
  }
  packet.resize(static_cast<size_t>(got));
  return packet;
}

absl::Status Send(int socket, const Answer& answer) {
  std::string bytes = answer.reply.SerializeAsString();
  iovec part = {bytes.data(), bytes.size()};
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (answer.file.open()) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    const int number = answer.file.number();
    std::memcpy(CMSG_DATA(rights), &number, sizeof(number));
  }
  ssize_t sent;
  do {
    sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    return absl::UnavailableError("the client does not read its answers");
  }
  if (errno == ETOOMANYREFS) {
    return absl::ResourceExhaustedError("too many descriptors on their way");
  }
  return absl::ErrnoToStatus(errno, "sendmsg");
}

}  // namespace lossd::shared_memory
