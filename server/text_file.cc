#include "server/text_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"

namespace lossd {

absl::StatusOr<std::string> ReadTextFile(const std::string& path) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "rb"), &std::fclose);
  std::string text;
  if (file != nullptr) {
    char block[1 << 12];
    while (const size_t size = std::fread(block, 1, sizeof(block), file.get()))
      text.append(block, size);
  }
  if (file != nullptr && !std::ferror(file.get())) return text;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": ", std::strerror(errno)));
}

}  // namespace lossd
