#ifndef LOSSD_BASE_FLAG_PARSER_H_
#define LOSSD_BASE_FLAG_PARSER_H_

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lossd {

// Sets the Abseil flags named in `arguments` (argv without the program) and
// returns the rest, in order. `--name=value`, `--name value`, `--name` and
// `--noname` for booleans; after `--` everything is rest.
//
// Abseil's own parser ends the process with code 1, which here means that the
// call failed; this one returns INVALID_ARGUMENT, in one line.
absl::StatusOr<std::vector<std::string>> ParseFlags(
    std::span<const char* const> arguments);

// One line for each flag of this project: name, default, help.
std::string DescribeFlags();

// The value of a flag and the range that it must lie in, both ends included.
struct FlagRange {
  absl::string_view flag;
  int64_t value, least, most;
};

// Returns INVALID_ARGUMENT for the first value outside its range; the message
// names flag, value and limits.
absl::Status CheckRanges(std::initializer_list<FlagRange> ranges);

}  // namespace lossd

#endif  // LOSSD_BASE_FLAG_PARSER_H_
