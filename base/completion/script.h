// The scripts that complete a program's command line in bash, zsh and fish.
#ifndef LOSSD_BASE_COMPLETION_SCRIPT_H_
#define LOSSD_BASE_COMPLETION_SCRIPT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/completion/program.h"
#include "base/flag_table.h"

namespace lossd::completion {

// Returns the names of the shells: bash, zsh and fish.
std::vector<std::string> Shells();

// Returns a script that offers the program's commands, flags and values. It
// holds all of them, so that no program is started while somebody types.
// INVALID_ARGUMENT for a shell that is not one of Shells().
absl::StatusOr<std::string> Script(absl::string_view shell,  // D80
                                   const Program& program);

// Returns the row of --completion, for programs without commands. It stores the
// name of one of Shells().
Flag CompletionFlag(std::string* shell);

}  // namespace lossd::completion

#endif  // LOSSD_BASE_COMPLETION_SCRIPT_H_
