// Completion in zsh.
#ifndef LOSSD_BASE_COMPLETION_ZSH_H_
#define LOSSD_BASE_COMPLETION_ZSH_H_

#include <string>

#include "base/completion/program.h"

namespace lossd::completion {

// Returns a script that may be sourced after compinit, or lie in a folder of
// $fpath under the name of the program after an underscore.
std::string ZshScript(const Program& program);

}  // namespace lossd::completion

#endif  // LOSSD_BASE_COMPLETION_ZSH_H_
