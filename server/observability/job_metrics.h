// Counts by training job, from which a team sees how its runs go.
#ifndef LOSSD_SERVER_OBSERVABILITY_JOB_METRICS_H_
#define LOSSD_SERVER_OBSERVABILITY_JOB_METRICS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/sample.h"
#include "server/observability/cells.h"
#include "server/observability/job_names.h"
#include "server/observability/per_thread.h"

namespace prometheus {
struct MetricFamily;
}

namespace lossd::observability {

// A computed task of a job: a request, or a window of a stream.
struct JobTask {
  bool begins_request = true;  // false for the later windows of a stream
  bool has_gradient = false;   // that is sampled
  int64_t elements = 0;
  int64_t nan_logits = 0;
  int64_t valid_elements = 0;
  double loss_sum = 0;  // over the valid elements, unreduced
};

// The counts of a job by all threads.
struct JobTotals {
  enum Count : size_t {
    kRequests,
    kElements,
    kNanLogits,
    kLossElements,
    kBadLosses,
    kGradients,
    kBadGradients,
    kSampled,
    kPositives,
    kSaturated,
    kCounts
  };
  enum Sum : size_t { kLoss, kNegativeLoss, kGradientSquares, kSums };

  std::string name;
  std::array<int64_t, kCounts> counts{};
  std::array<double, kSums> sums{};
};

// Keeps the counts of each job in cells of each thread, as Metrics does (D41):
// recording takes no lock. Thread-safe.
//
// The counts of a job never fall. Those of a name that was forgotten
// (JobNames) are gone, and a record for it counts nowhere.
class JobMetrics {
 public:
  explicit JobMetrics(size_t max_jobs) : names_(max_jobs) {}

  JobNames& names() { return names_; }

  // `job` is a number of names().
  void Record(uint64_t job, const JobTask& task);
  void Record(uint64_t job, const kernels::Sample& sample);

  std::vector<JobTotals> Totals() const;

  // Returns the metrics, with a sample for each job.
  std::vector<prometheus::MetricFamily> Families() const;

 private:
  // The counts by one thread of the job that has a place.
  struct JobCells {
    std::atomic<uint64_t> job{0};  // whose counts these are; 0 while cleared
    std::array<Cell, JobTotals::kCounts> counts;
    std::array<RealCell, JobTotals::kSums> sums;
  };
  struct alignas(64) Shard {
    std::atomic<JobCells*> cells{nullptr};  // by place
    std::unique_ptr<JobCells[]> owned;
  };

  // Returns this thread's cells of the job, or null if it was forgotten.
  JobCells* Local(uint64_t job);

  JobNames names_;
  PerThread<Shard> shards_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_JOB_METRICS_H_
