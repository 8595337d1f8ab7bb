// Where the activity of a server is shown.
#ifndef LOSSD_CLIENT_CLI_WATCH_VIEW_H_
#define LOSSD_CLIENT_CLI_WATCH_VIEW_H_

#include <cstdio>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/watch/activity.h"

namespace lossd::cli::watch {

// Not thread-safe.
class View {
 public:
  virtual ~View() = default;

  // Says that the first interval has begun.
  virtual void Begin() {}
  virtual void Show(const Activity& activity) = 0;
  // Says that the server's metrics could not be read, and why.
  virtual void ShowAbsence(absl::Time time, const absl::Status& status) = 0;

  // Returns true if nothing that is shown arrives anywhere any more.
  virtual bool broken() const { return std::ferror(stdout) != 0; }

  // Leave the screen as it was, and come back to it.
  virtual void Pause() {}
  virtual void Resume() {}
  // Shows the last thing again, because the terminal has another size.
  virtual void Redraw() {}
};

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_VIEW_H_
