#include "base/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"

namespace lossd {
namespace {

absl::Status Failed(absl::string_view name) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": ", std::strerror(errno)));
}

constexpr size_t kBlockBytes = size_t{1} << 16;

absl::StatusOr<std::string> ReadAll(std::FILE* file, absl::string_view name) {
  // The block is not on the stack: threads of libraries may have small ones.
  std::string content;
  size_t size = 0;
  size_t got = 0;
  do {
    size += got;
    content.resize(size + kBlockBytes);
    got = std::fread(content.data() + size, 1, kBlockBytes, file);
  } while (got > 0);
  content.resize(size);
  // A directory opens like a file, and fails here.
  if (std::ferror(file)) return Failed(name);
  return content;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) return Failed(path);
  return ReadAll(file.get(), path);
}

absl::StatusOr<std::string> ReadFileOrStdin(const std::string& path) {
  return path == "-" ? ReadAll(stdin, path) : ReadFile(path);
}

}  // namespace lossd
