// The reader of command lines that all programs share.
#ifndef LOSSD_BASE_FLAG_PARSER_H_
#define LOSSD_BASE_FLAG_PARSER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/flag_table.h"

namespace lossd {

// Sets the flags of `table` that `arguments` (argv without the program) name,
// and returns the other words in order. A flag is --name=value or --name value,
// and for a switch also --name or --noname; one dash does as well, and -h is
// --help. After `--` everything is a word.
//
// INVALID_ARGUMENT, in one line that names the flag, for a flag that is not in
// the table and for a value of the wrong form. Ranges are CheckValues()'s.
absl::StatusOr<std::vector<std::string>> ParseFlags(
    const FlagTable& table, const std::vector<std::string>& arguments);

// Does what ParseFlags() does for a program that takes flags only: any other
// word is INVALID_ARGUMENT.
absl::Status ParseFlagsOnly(const FlagTable& table,
                            const std::vector<std::string>& arguments);

// Returns the flags in their groups with defaults and help, for --help.
std::string DescribeFlags(const FlagTable& table);

}  // namespace lossd

#endif  // LOSSD_BASE_FLAG_PARSER_H_
