#include "tests/server/execution/cuda/lent_files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file_descriptor.h"

namespace lossd::execution::cuda {
namespace {

// The prefix of all names, so that a handle names no other file.
constexpr absl::string_view kPrefix = "/lossd_test_";

std::string NewName() {
  static std::atomic<int> made = 0;
  return absl::StrCat(kPrefix, getpid(), "_", made++);
}

std::span<std::byte> Map(int file, size_t bytes) {
  void* const mapped =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (mapped == MAP_FAILED) return {};
  return {static_cast<std::byte*>(mapped), bytes};
}

}  // namespace

DeviceUuid FakeUuid(std::string_view device) {
  const std::string text = "lossd fake gpu " + std::string(1, device.back());
  DeviceUuid uuid;
  std::memcpy(uuid.data(), text.data(), uuid.size());
  return uuid;
}

FakeAllocation::FakeAllocation(size_t bytes) : name_(NewName()) {
  const FileDescriptor file(
      shm_open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
  if (file.open() && ftruncate(file.number(), static_cast<off_t>(bytes)) == 0) {
    bytes_ = Map(file.number(), bytes);
  }
  if (bytes_.empty()) {
    std::perror(name_.c_str());
    std::abort();
  }
}

FakeAllocation::~FakeAllocation() {
  shm_unlink(name_.c_str());
  munmap(bytes_.data(), bytes_.size());
}

IpcHandle FakeAllocation::handle() const {
  IpcHandle handle{};
  std::memcpy(handle.data(), name_.data(), name_.size());
  return handle;
}

OpenedFiles::~OpenedFiles() {
  for (const auto& [handle, file] : files_) {
    munmap(file.memory.address, file.memory.size);
  }
}

absl::StatusOr<DeviceMemory> OpenedFiles::Open(const IpcHandle& handle) {
  if (const auto found = files_.find(handle); found != files_.end()) {
    ++found->second.opened;
    return found->second.memory;
  }
  const auto* text = reinterpret_cast<const char*>(handle.data());
  const std::string name(text, strnlen(text, handle.size()));
  if (!absl::StartsWith(name, kPrefix)) {
    return absl::InvalidArgumentError("not a handle of a fake device");
  }
  const FileDescriptor file(shm_open(name.c_str(), O_RDWR, 0));
  struct stat found = {};
  if (!file.open() || fstat(file.number(), &found) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("no memory ", name));
  }
  const std::span<std::byte> bytes =
      Map(file.number(), static_cast<size_t>(found.st_size));
  if (bytes.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("no bytes in ", name));
  }
  return (files_[handle] = {{bytes.data(), bytes.size()}, 1}).memory;
}

bool OpenedFiles::Close(DeviceMemory memory) {
  const auto found =
      std::find_if(files_.begin(), files_.end(), [&](const auto& file) {
        return file.second.memory.address == memory.address;
      });
  if (found == files_.end()) return false;
  if (--found->second.opened == 0) {
    munmap(memory.address, found->second.memory.size);
    files_.erase(found);
  }
  return true;
}

int OpenedFiles::count() const {
  int count = 0;
  for (const auto& [handle, file] : files_) count += file.opened;
  return count;
}

}  // namespace lossd::execution::cuda
