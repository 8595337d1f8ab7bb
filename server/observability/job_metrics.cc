#include "server/observability/job_metrics.h"

#include <prometheus/metric_family.h>

#include <cmath>
#include <utility>

#include "server/observability/families.h"

namespace lossd::observability {
namespace {

struct CounterOf {
  const MetricInfo& metric;
  JobTotals::Count count;
};
constexpr std::array kCounters = {
    CounterOf{metric::kJobRequests, JobTotals::kRequests},
    CounterOf{metric::kJobElements, JobTotals::kElements},
    CounterOf{metric::kJobNanLogits, JobTotals::kNanLogits},
    CounterOf{metric::kJobBadLosses, JobTotals::kBadLosses},
    CounterOf{metric::kJobBadGradients, JobTotals::kBadGradients},
    CounterOf{metric::kJobSampled, JobTotals::kSampled},
    CounterOf{metric::kJobPositives, JobTotals::kPositives},
    CounterOf{metric::kJobSaturated, JobTotals::kSaturated},
};

struct SummaryOf {
  const MetricInfo& metric;
  JobTotals::Count count;
  JobTotals::Sum sum;
};
constexpr std::array kSummaries = {
    SummaryOf{metric::kJobLoss, JobTotals::kLossElements, JobTotals::kLoss},
    SummaryOf{metric::kJobGradientSquare, JobTotals::kGradients,
              JobTotals::kGradientSquares},
};

// Adds a value, unless the sum would not be finite any more.
bool AddFinite(double value, RealCell& cell) {
  if (!std::isfinite(cell.Read() + value)) return false;
  cell.Add(value);
  return true;
}

LabelSet LabelOf(const JobTotals& job) { return {{"training_job", job.name}}; }

}  // namespace

JobMetrics::JobCells* JobMetrics::Local(uint64_t job) {
  Shard& shard = shards_.Local();
  if (shard.owned == nullptr) {
    shard.owned = std::make_unique<JobCells[]>(names_.places());
    shard.cells.store(shard.owned.get(), std::memory_order_release);
  }
  JobCells& cells = shard.owned[names_.PlaceOf(job)];
  const uint64_t here = cells.job.load(std::memory_order_relaxed);
  if (here == job) return &cells;
  if (here > job) return nullptr;  // later jobs have larger numbers
  // A scrape looks for the job that has the place now, whose number these cells
  // get only when they are empty.
  cells.job.store(0, std::memory_order_relaxed);
  for (Cell& cell : cells.counts) cell.Add(-cell.Read());
  for (RealCell& cell : cells.sums) cell.Add(-cell.Read());
  cells.job.store(job, std::memory_order_release);
  return &cells;
}

void JobMetrics::Record(uint64_t job, const JobTask& task) {
  JobCells* const cells = Local(job);
  if (cells == nullptr) return;
  auto& counts = cells->counts;
  if (task.begins_request) counts[JobTotals::kRequests].Add(1);
  counts[JobTotals::kElements].Add(task.elements);
  counts[JobTotals::kNanLogits].Add(task.nan_logits);
  if (task.begins_request && task.has_gradient) {
    counts[JobTotals::kGradients].Add(1);
  }
  const auto sign =
      task.loss_sum < 0 ? JobTotals::kNegativeLoss : JobTotals::kLoss;
  const bool good = AddFinite(std::fabs(task.loss_sum), cells->sums[sign]);
  good ? counts[JobTotals::kLossElements].Add(task.valid_elements)
       : counts[JobTotals::kBadLosses].Add(1);
}

void JobMetrics::Record(uint64_t job, const kernels::Sample& sample) {
  JobCells* const cells = Local(job);
  if (cells == nullptr) return;
  auto& counts = cells->counts;
  const auto add = [&](JobTotals::Count count, uint64_t n) {
    if (n > 0) counts[count].Add(static_cast<int64_t>(n));
  };
  add(JobTotals::kSampled, sample.elements);
  add(JobTotals::kPositives, sample.positives);
  add(JobTotals::kSaturated, sample.saturated);
  const bool good = AddFinite(sample.gradient_squares,
                              cells->sums[JobTotals::kGradientSquares]);
  add(JobTotals::kBadGradients, sample.bad_gradients + (good ? 0 : 1));
}

// The names are held while the cells are read, or a place could change hands
// and its job seem to have counted nothing.
std::vector<JobTotals> JobMetrics::Totals() const {
  std::vector<JobTotals> all;
  shards_.Read([&](const PerThread<Shard>::List& shards) {
    names_.Read([&](const std::string& name, uint64_t number) {
      JobTotals& job = all.emplace_back();
      job.name = name;
      for (const auto& shard : shards) {
        const JobCells* const of_thread =
            shard->cells.load(std::memory_order_acquire);
        if (of_thread == nullptr) continue;
        const JobCells& cells = of_thread[names_.PlaceOf(number)];
        if (cells.job.load(std::memory_order_acquire) != number) continue;
        for (size_t k = 0; k < job.counts.size(); ++k) {
          job.counts[k] += cells.counts[k].Read();
        }
        for (size_t k = 0; k < job.sums.size(); ++k) {
          job.sums[k] += cells.sums[k].Read();
        }
      }
    });
  });
  return all;
}

std::vector<prometheus::MetricFamily> JobMetrics::Families() const {
  const std::vector<JobTotals> jobs = Totals();
  std::vector<prometheus::MetricFamily> families;
  for (const CounterOf& counter : kCounters) {
    auto& family = families.emplace_back(EmptyFamily(counter.metric));
    for (const JobTotals& job : jobs) {
      AddValue(family, LabelOf(job),
               static_cast<double>(job.counts[counter.count]));
    }
  }
  auto& negative = families.emplace_back(EmptyFamily(metric::kJobNegativeLoss));
  for (const JobTotals& job : jobs) {
    AddValue(negative, LabelOf(job), job.sums[JobTotals::kNegativeLoss]);
  }
  for (const SummaryOf& summary : kSummaries) {
    auto& family = families.emplace_back(EmptyFamily(summary.metric));
    for (const JobTotals& job : jobs) {
      AddSummary(family, LabelOf(job), job.counts[summary.count],
                 job.sums[summary.sum]);
    }
  }
  return families;
}

}  // namespace lossd::observability
