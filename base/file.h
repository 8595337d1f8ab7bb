// Whole files as strings.
#ifndef LOSSD_BASE_FILE_H_
#define LOSSD_BASE_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace lossd {

// Returns all bytes of a file. INVALID_ARGUMENT, with path and reason, if it
// cannot be read, as a directory cannot.
absl::StatusOr<std::string> ReadFile(const std::string& path);

// Returns what ReadFile() does, but reads standard input where `path` is "-".
absl::StatusOr<std::string> ReadFileOrStdin(const std::string& path);

}  // namespace lossd

#endif  // LOSSD_BASE_FILE_H_
