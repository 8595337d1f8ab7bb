// Says how much work waits for each second of computing, a number to scale on.
#ifndef LOSSD_SERVER_OBSERVABILITY_SATURATION_H_
#define LOSSD_SERVER_OBSERVABILITY_SATURATION_H_

#include <cstdint>
#include <vector>

#include "absl/time/time.h"

namespace lossd::observability {

// Divides the seconds that tasks waited in the queue, added over tasks, by the
// seconds that executors computed, added over executors. Both are counted since
// the last scrape that is at least a minute old, or since the start. The ratio
// is the average number of tasks that wait behind each executor at work. It is
// 0 when nothing was computed in that time.
//
// It hardly depends on who scrapes how often: scrapes within 15 seconds of one
// that is kept are answered and not kept. Not thread-safe.
class Saturation {
 public:
  static constexpr absl::Duration kWindow = absl::Minutes(1);
  static constexpr absl::Duration kStep = absl::Seconds(15);

  // Takes the totals at this scrape, both in one unit, and the time on a clock
  // that is never set. Returns the ratio.
  double AtScrape(absl::Duration now, int64_t queue_total,
                  int64_t compute_total) {
    while (kept_.size() > 1 && now - kept_[1].time >= kWindow)
      kept_.erase(kept_.begin());
    const Totals oldest = kept_.front();
    if (now - kept_.back().time >= kStep)
      kept_.push_back({now, queue_total, compute_total});
    const auto waited = static_cast<double>(queue_total - oldest.queue);
    const auto computed = static_cast<double>(compute_total - oldest.compute);
    return computed > 0 ? waited / computed : 0;
  }

 private:
  struct Totals {
    absl::Duration time = -absl::InfiniteDuration();  // the start
    int64_t queue = 0;
    int64_t compute = 0;
  };
  // The oldest first; never empty, and hardly more than six.
  std::vector<Totals> kept_ = std::vector<Totals>(1);
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_SATURATION_H_
