// Reads the server's settings from its environment, flag files and arguments.
#ifndef LOSSD_SERVER_FLAGS_H_
#define LOSSD_SERVER_FLAGS_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/config.h"

namespace lossd {

// The settings of a command line, or the text that it asks for.
struct CommandLine {
  Config config;
  // With --help, --version or --completion: the text to print in place of
  // serving.
  std::optional<std::string> print;
};

// Reads the defaults, OpenTelemetry's variables for the flags about traces,
// LOSSD_<FLAG> in the environment (LOSSD_FLAGFILE first), and the arguments in
// their order, where --flagfile=PATH stands for the lines of that file; each
// overrides those before it. `environment` returns null for a variable that is
// not set. Errors: INVALID_ARGUMENT, in one line, for unknown flags, bad values
// and arguments that are no flags.
absl::StatusOr<CommandLine> ReadCommandLine(
    const std::vector<std::string>& arguments,
    const std::function<const char*(const char* name)>& environment);

}  // namespace lossd

#endif  // LOSSD_SERVER_FLAGS_H_
