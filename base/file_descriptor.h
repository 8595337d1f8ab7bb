// A file descriptor with an owner.
#ifndef LOSSD_BASE_FILE_DESCRIPTOR_H_
#define LOSSD_BASE_FILE_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace lossd {

// Owns one descriptor, or none, and closes it when destroyed. Move-only. Not
// thread-safe.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  // Takes the result of a system call: a negative number means no descriptor.
  explicit FileDescriptor(int number) : number_(number) {}
  FileDescriptor(FileDescriptor&& other) noexcept { *this = std::move(other); }
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~FileDescriptor() {
    if (open()) close(number_);
  }

  bool open() const { return number_ >= 0; }
  int number() const { return number_; }

  // Returns the number, and leaves the closing to the caller.
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

}  // namespace lossd

#endif  // LOSSD_BASE_FILE_DESCRIPTOR_H_
