// The activity of a server as lines, where there is no terminal.
#ifndef LOSSD_CLIENT_CLI_WATCH_PLAIN_LINES_H_
#define LOSSD_CLIENT_CLI_WATCH_PLAIN_LINES_H_

#include "client/cli/watch/view.h"

namespace lossd::cli::watch {

// Prints one line for each interval to standard output, at once.
class PlainLines final : public View {
 public:
  void Show(const Activity& activity) override;
  void ShowAbsence(absl::Time time, const absl::Status& status) override;
};

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_PLAIN_LINES_H_
