#ifndef LOSSD_CLIENT_CLI_FILE_H_
#define LOSSD_CLIENT_CLI_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace lossd::cli {

// All bytes of a file; "-" is standard input. Errors begin with the path.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_FILE_H_
