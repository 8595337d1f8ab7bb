// The command line, the environment and flag files -> Config.
#ifndef LOSSD_SERVER_FLAGS_H_
#define LOSSD_SERVER_FLAGS_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"

namespace lossd {

// What the command line asks for.
struct CommandLine {  // D5
  Config config;
  // --help or --version: print this, and end well.
  std::optional<std::string> print;
};

// Reads, each overriding the one before: defaults, LOSSD_<FLAG> in the
// environment (LOSSD_FLAGFILE first), and the arguments in their order, a
// --flagfile standing for the lines in it. The flags are Abseil's, but not its
// parser, which ends the process with code 1 by itself. INVALID_ARGUMENT, in
// one line, for unknown flags, bad values and arguments that are no flags.
// `environment` returns null for a variable that is not set.
absl::StatusOr<CommandLine> ReadCommandLine(
    const std::vector<std::string>& arguments,
    const std::function<const char*(const char* name)>& environment);

}  // namespace lossd

#endif  // LOSSD_SERVER_FLAGS_H_
