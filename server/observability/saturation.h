// Says how much work waits for each second of computing, a number to scale on.
#ifndef LOSSD_SERVER_OBSERVABILITY_SATURATION_H_
#define LOSSD_SERVER_OBSERVABILITY_SATURATION_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace lossd::observability {

// Divides the seconds that tasks waited in the queue, added over tasks, by the
// seconds that executors computed, added over executors. Both are counted since
// the scrape that was kScrapes scrapes ago, or since the start. The ratio is
// the average number of tasks that wait behind each executor at work. It is 0
// when nothing was computed in that time.
//
// The window is one of scrapes, not of seconds: if two Prometheus servers
// scrape, each sees half the time. Not thread-safe.
class Saturation {
 public:
  static constexpr size_t kScrapes = 4;

  // Takes the totals at this scrape, both in one unit. Returns the ratio.
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
