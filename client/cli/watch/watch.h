// The loop that reads a server's metrics again and again.
#ifndef LOSSD_CLIENT_CLI_WATCH_WATCH_H_
#define LOSSD_CLIENT_CLI_WATCH_WATCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cli/watch/attention.h"
#include "client/cli/watch/metrics_page.h"
#include "client/cli/watch/view.h"

namespace lossd::cli::watch {

struct WatchOptions {
  absl::Duration interval;
  // Intervals to show; 0 is without end.
  int64_t count = 0;
  // The longest time of one scrape.
  absl::Duration timeout;
};

// Shows the activity of each interval, which begins with the first scrape of
// the page. A later scrape that fails is shown as an absence, and the next good
// one is compared with the last good one before it.
//
// Returns OK at the user's wish, after the last interval, or when the view is
// broken; else the error of the first scrape, or that of the last one if it was
// the end of the last interval.
absl::Status Watch(const WatchOptions& options, MetricsPage& page,
                   Attention& attention, View& view);

}  // namespace lossd::cli::watch

#endif  // LOSSD_CLIENT_CLI_WATCH_WATCH_H_
