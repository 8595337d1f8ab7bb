// What to scale on: how much work waits for each second of computing.
#ifndef LOSSD_SERVER_OBSERVABILITY_SATURATION_H_
#define LOSSD_SERVER_OBSERVABILITY_SATURATION_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace lossd::observability {

// The seconds that tasks waited in the queue, added over tasks, divided by the
// seconds that executors computed, added over executors, both counted since the
// scrape that was kScrapes scrapes ago (or since the start). So it is how many
// tasks wait, on average, behind each executor at work. 0 when nothing was
// computed in that time.
//
// A window of scrapes, not of seconds: two who scrape share it, and each sees
// half the time. Not thread-safe.
class Saturation {
 public:
  static constexpr size_t kScrapes = 4;

  // The totals at this scrape, in the same unit; returns the ratio.
  double AtScrape(int64_t queue_total, int64_t compute_total) {
    Totals& oldest = window_[next_];
    const auto waited = static_cast<double>(queue_total - oldest.queue);
    const auto computed = static_cast<double>(compute_total - oldest.compute);
    oldest = {queue_total, compute_total};
    next_ = (next_ + 1) % kScrapes;
    return computed > 0 ? waited / computed : 0;
  }

 private:
  struct Totals {
    int64_t queue = 0;
    int64_t compute = 0;
  };
  std::array<Totals, kScrapes> window_;
  size_t next_ = 0;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_SATURATION_H_
