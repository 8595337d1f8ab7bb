#include "client/cli/watch/watch.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/clock.h"

namespace lossd::cli::watch {
namespace {

// Returns false if the user wants to stop before `deadline`.
bool Wait(absl::Time deadline, Attention& attention, View& view) {
  while (true) {
    switch (attention.WaitUntil(deadline)) {
      case Event::kTime:
        return true;
      case Event::kStop:
        return false;
      case Event::kResize:
        view.Redraw();
        break;
      case Event::kSuspend:
        view.Pause();
        attention.Suspend();
        view.Resume();
        break;
    }
  }
}

// Reads the page. A signal that comes meanwhile is handled, and the page is
// read again unless it was the wish to stop, which is CANCELLED.
absl::StatusOr<Scrape> ReadPage(const WatchOptions& options, MetricsPage& page,
                                Attention& attention, View& view) {
  while (true) {
    absl::StatusOr<Scrape> scrape =
        page.Read(options.timeout, attention.descriptor());
    if (!absl::IsCancelled(scrape.status())) return scrape;
    if (!Wait(absl::Now(), attention, view)) return scrape;
  }
}

}  // namespace

absl::Status Watch(const WatchOptions& options, MetricsPage& page,
                   Attention& attention, View& view) {
  absl::StatusOr<Scrape> first = ReadPage(options, page, attention, view);
  if (absl::IsCancelled(first.status())) return absl::OkStatus();
  if (!first.ok()) return first.status();
  view.Begin();
  Scrape last = *std::move(first);
  absl::Status status;
  absl::Time next = last.time;
  for (int64_t i = 0; options.count == 0 || i < options.count; ++i) {
    if (view.broken()) return absl::OkStatus();
    next = std::max(next + options.interval, absl::Now());
    if (!Wait(next, attention, view)) return absl::OkStatus();
    absl::StatusOr<Scrape> scrape = ReadPage(options, page, attention, view);
    if (absl::IsCancelled(scrape.status())) return absl::OkStatus();
    status = scrape.status();
    if (!scrape.ok()) {
      view.ShowAbsence(absl::Now(), status);
      continue;
    }
    view.Show(ActivityBetween(last, *scrape));
    last = *std::move(scrape);
  }
  return status;
}

}  // namespace lossd::cli::watch
