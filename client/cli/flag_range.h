#ifndef LOSSD_CLIENT_CLI_FLAG_RANGE_H_
#define LOSSD_CLIENT_CLI_FLAG_RANGE_H_

#include <cstdint>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lossd::cli {

// The value of a flag, and between what it must lie, both included.
struct FlagRange {
  absl::string_view flag;
  int64_t value, least, most;
};

// INVALID_ARGUMENT for the first that lies outside; names flag, value, limits.
absl::Status CheckRanges(std::initializer_list<FlagRange> ranges);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_FLAG_RANGE_H_
