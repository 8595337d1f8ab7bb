// A client of the region socket that sends whatever a test wants, and functions
// that tell what this process holds.
#ifndef LOSSD_TESTS_SERVER_SHARED_MEMORY_RAW_CLIENT_H_
#define LOSSD_TESTS_SERVER_SHARED_MEMORY_RAW_CLIENT_H_

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/file_descriptor.h"
#include "lossd/v1/shared_memory.pb.h"

namespace lossd::shared_memory {

// Returns a path that only this test uses.
inline std::string TestSocketPath() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  return absl::StrCat("/tmp/lossd_test_", getpid(), "_", test->name());
}

// Returns the number of open descriptors of this process.
inline int OpenDescriptors() {
  int count = 0;
  DIR* const folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

// A file that is mapped as a client maps it.
class Mapping {
 public:
  Mapping(const FileDescriptor& file, size_t size)
      : bytes_(
            static_cast<std::byte*>(mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                         MAP_SHARED, file.number(), 0)),
            size) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { munmap(bytes_.data(), bytes_.size()); }
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  const std::span<std::byte> bytes_;
};

// A client whose calls block: in every test that uses it, it is answered or
// disconnected.
class RawClient {
 public:
  explicit RawClient(const std::string& path)
      : socket_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    connected_ =
        connect(socket_.number(), reinterpret_cast<const sockaddr*>(&address),
                sizeof(address)) == 0;
  }

  bool connected() const { return connected_; }
  void Close() { socket_ = FileDescriptor(); }

  // Sends the packet, with a descriptor if `file` is one.
  bool Send(const std::string& packet, int file = -1, int flags = 0) {
    iovec part = {const_cast<char*>(packet.data()), packet.size()};
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (file >= 0) {
      header.msg_control = control;
      header.msg_controllen = sizeof(control);
      cmsghdr* const rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      std::memcpy(CMSG_DATA(rights), &file, sizeof(file));
    }
    return sendmsg(socket_.number(), &header, flags | MSG_NOSIGNAL) >= 0;
  }

  struct Answer {
    v1::SharedMemoryReply reply;
    FileDescriptor file;
  };

  // Receives an answer; returns nothing if the server has closed the
  // connection.
  std::optional<Answer> Receive() {
    char packet[8192];
    iovec part = {packet, sizeof(packet)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr header = {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t got = recvmsg(socket_.number(), &header, MSG_CMSG_CLOEXEC);
    if (got <= 0) return std::nullopt;
    Answer answer;
    EXPECT_TRUE(answer.reply.ParseFromArray(packet, static_cast<int>(got)));
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr) {
      int number;
      std::memcpy(&number, CMSG_DATA(rights), sizeof(number));
      answer.file = FileDescriptor(number);
    }
    return answer;
  }

  std::optional<Answer> Register(uint64_t byte_size) {
    v1::SharedMemoryRequest request;
    request.mutable_register_region()->set_byte_size(byte_size);
    return Send(request.SerializeAsString()) ? Receive() : std::nullopt;
  }

  std::optional<Answer> Lend(const v1::RegisterDeviceMemory& lent) {
    v1::SharedMemoryRequest request;
    *request.mutable_register_device_memory() = lent;
    return Send(request.SerializeAsString()) ? Receive() : std::nullopt;
  }

  std::optional<Answer> Release(const std::string& name) {
    v1::SharedMemoryRequest request;
    request.mutable_release_region()->set_name(name);
    return Send(request.SerializeAsString()) ? Receive() : std::nullopt;
  }

 private:
  FileDescriptor socket_;
  bool connected_ = false;
};

}  // namespace lossd::shared_memory

#endif  // LOSSD_TESTS_SERVER_SHARED_MEMORY_RAW_CLIENT_H_
