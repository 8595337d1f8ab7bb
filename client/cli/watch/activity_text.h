// The activity of a server as text, for a person.
#ifndef LOSSD_CLIENT_CLI_WATCH_ACTIVITY_TEXT_H_
#define LOSSD_CLIENT_CLI_WATCH_ACTIVITY_TEXT_H_

#include <string>
#include <vector>

#include "client/cli/watch/activity.h"

namespace lossd::cli::watch {

// Returns one line without an end of line: the time, the rates and the queue.
std::string ActivityLine(const Activity& activity);

// Returns the lines of a whole screen, without ends of lines.
std::vector<std::string> ActivityScreen(const Activity& activity);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_ACTIVITY_TEXT_H_
