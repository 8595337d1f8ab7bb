// Completion in bash.
#ifndef LOSSD_BASE_COMPLETION_BASH_H_
#define LOSSD_BASE_COMPLETION_BASH_H_

#include <string>

#include "base/completion/program.h"

namespace lossd::completion {

// Returns a script for bash 4.4 and later; the package bash-completion is not
// needed.
std::string BashScript(const Program& program);

}  // namespace lossd::completion

#endif  // LOSSD_BASE_COMPLETION_BASH_H_
