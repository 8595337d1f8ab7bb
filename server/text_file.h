// Files that flags name.
#ifndef LOSSD_SERVER_TEXT_FILE_H_
#define LOSSD_SERVER_TEXT_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace lossd {

// All of a file. INVALID_ARGUMENT that names path and reason if it cannot be
// read, as a directory, which can be opened, cannot.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

}  // namespace lossd

#endif  // LOSSD_SERVER_TEXT_FILE_H_
