#include "client/cli/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lossd::cli {
namespace {

absl::Status Failed(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", std::strerror(errno)));
}

absl::StatusOr<std::string> ReadAll(std::FILE* file, const std::string& path) {
  std::string content;
  char block[1 << 16];
  while (const size_t size = std::fread(block, 1, sizeof(block), file)) {
    content.append(block, size);
  }
  // A directory opens like a file, and fails here.
  if (std::ferror(file)) return Failed(path);
  return content;
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  if (path == "-") return ReadAll(stdin, path);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) return Failed(path);
  return ReadAll(file.get(), path);
}

}  // namespace lossd::cli
