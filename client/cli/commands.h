// The commands of lossctl, and the flags that each reads.
#ifndef LOSSD_CLIENT_CLI_COMMANDS_H_
#define LOSSD_CLIENT_CLI_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/completion/program.h"
#include "base/flag_table.h"
#include "client/cli/compute_command.h"
#include "client/cli/exit_code.h"
#include "client/cli/watch_command.h"

namespace lossd::cli {

// The values of all flags.
struct Flags {
  ComputeFlags compute;
  WatchFlags watch;
  bool help = false;
  bool version = false;
};

// Returns the rows of `flags`, which are borrowed.
FlagTable TableOf(Flags& flags);

struct Command {
  const char* name;
  // Says in a phrase what the command does.
  const char* help;
  // Names the one word that may follow; null if none may.
  const char* operand;
  // Returns the words that a shell offers for it; null if none are known.
  std::vector<std::string> (*operands)();
  // Returns the rows of the flags that the command reads, and of no others.
  FlagTable (*rows)(Flags& flags);
  // `word` is the operand; empty if none was given. Errors are printed.
  ExitCode (*run)(const Flags& flags, const std::string& word);
};

// Returns the command that `name` names. INVALID_ARGUMENT if none has the name.
absl::StatusOr<Command> FindCommand(const std::string& name);

// Returns OK, or INVALID_ARGUMENT if more words than one and its operand stand
// in `words`, which begin with the command.
absl::Status CheckOperands(const Command& command,
                           const std::vector<std::string>& words);

// Describes lossctl to a shell.
completion::Program DescribeProgram();

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_COMMANDS_H_
