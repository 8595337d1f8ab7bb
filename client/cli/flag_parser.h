#ifndef LOSSD_CLIENT_CLI_FLAG_PARSER_H_
#define LOSSD_CLIENT_CLI_FLAG_PARSER_H_

#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lossd::cli {

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

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_FLAG_PARSER_H_
