// Completion in fish.
#ifndef LOSSD_BASE_COMPLETION_FISH_H_
#define LOSSD_BASE_COMPLETION_FISH_H_

#include <string>

#include "base/completion/program.h"

namespace lossd::completion {

// Returns a script for fish 3.0 and later.
std::string FishScript(const Program& program);

}  // namespace lossd::completion

#endif  // LOSSD_BASE_COMPLETION_FISH_H_
