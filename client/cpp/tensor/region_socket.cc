#include "client/cpp/tensor/region_socket.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace lossd::client {
namespace {

constexpr timeval kTimeout = {.tv_sec = 60, .tv_usec = 0};

// The size of a buffer that is larger than any reply.
constexpr size_t kPacketBytes = 8192;

absl::Status Unavailable(absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("shared memory: ", what, ": ", std::strerror(errno)));
}

}  // namespace

absl::StatusOr<std::shared_ptr<RegionSocket>> RegionSocket::Connect(
    const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "shared memory: no socket can have the path \"", path, "\""));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  std::shared_ptr<RegionSocket> made(
      new RegionSocket(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)));
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    setsockopt(made->socket_, SOL_SOCKET, option, &kTimeout, sizeof(kTimeout));
  }
  if (connect(made->socket_, reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    return Unavailable(path);
  }
  return made;
}

RegionSocket::~RegionSocket() {
  if (socket_ >= 0) close(socket_);
}

absl::StatusOr<RegionSocket::Answer> RegionSocket::Ask(
    const v1::SharedMemoryRequest& request) {
  if (getpid() != process_) {
    return absl::FailedPreconditionError(
        "shared memory: the connection is another process's");
  }
  const std::string packet = request.SerializeAsString();
  absl::MutexLock lock(&mu_);
  if (broken_) {
    return absl::UnavailableError("shared memory: the connection is lost");
  }
  // A reply is read even if nothing could be sent, because a server that has
  // closed the connection may have said why.
  const ssize_t sent =
      send(socket_, packet.data(), packet.size(), MSG_NOSIGNAL);
  absl::StatusOr<Answer> answer = Receive();
  broken_ = sent < 0 || !answer.ok();
  if (!answer.ok() || !answer->reply.has_error()) return answer;
  const auto& error = answer->reply.error();
  return absl::Status(static_cast<absl::StatusCode>(error.code()),
                      error.message());
}

absl::StatusOr<RegionSocket::Answer> RegionSocket::Receive() {
  char packet[kPacketBytes];
  iovec part = {packet, sizeof(packet)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr header = {};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof(control);
  // A server that closes before it reads our packet resets the connection; its
  // last reply can still be read.
  ssize_t got;
  do {
    got = recvmsg(socket_, &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && (errno == EINTR || errno == ECONNRESET));
  if (got < 0) return Unavailable("no reply");
  if (got == 0) {
    return absl::UnavailableError("shared memory: the server has closed");
  }
  Answer answer;
  const cmsghdr* const rights = CMSG_FIRSTHDR(&header);
  if (rights != nullptr && rights->cmsg_type == SCM_RIGHTS) {
    int file;
    std::memcpy(&file, CMSG_DATA(rights), sizeof(file));
    answer.file = FileDescriptor(file);
  }
  if (!answer.reply.ParseFromArray(packet, static_cast<int>(got))) {
    return absl::UnavailableError("shared memory: the reply is no message");
  }
  return answer;
}

}  // namespace lossd::client
