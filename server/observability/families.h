// Turns counts into the metric families that Prometheus reads.
#ifndef LOSSD_SERVER_OBSERVABILITY_FAMILIES_H_
#define LOSSD_SERVER_OBSERVABILITY_FAMILIES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "server/observability/cells.h"
#include "server/observability/metric_list.h"

namespace prometheus {
struct MetricFamily;
}

namespace lossd::observability {

// Names and values of one sample's labels.
using LabelSet = std::vector<std::pair<std::string, std::string>>;

// The sum of histograms of one scale.
struct HistogramTotals {
  explicit HistogramTotals(Doubling of) : scale(of), buckets(of.bounds + 1) {}

  template <Doubling kScale>
  void Add(const Histogram<kScale>& histogram) {
    // The buckets are read first. Observe() adds to the sum first, so a scrape
    // in the middle of it never shows a count without its value.
    for (size_t i = 0; i < buckets.size(); ++i)
      buckets[i] += histogram.buckets[i].Read();
    sum += histogram.sum.Read();
  }

  Doubling scale;
  std::vector<int64_t> buckets;
  int64_t sum = 0;
};

// Returns the metric's family without samples.
prometheus::MetricFamily EmptyFamily(const MetricInfo& metric);

// Returns the family of a counter or a gauge with one sample without labels.
prometheus::MetricFamily FamilyOf(const MetricInfo& metric, double value);

// Adds a sample to the family of a counter or a gauge.
void AddValue(prometheus::MetricFamily& family, const LabelSet& labels,
              double value);

// Adds a sample to the family of a histogram. `per_unit` integers of the
// histogram make one unit of the metric: 1e9 for nanoseconds shown as seconds.
void AddHistogram(prometheus::MetricFamily& family, const LabelSet& labels,
                  const HistogramTotals& totals, double per_unit);

// Adds a sample to the family of a summary, which has no quantiles.
void AddSummary(prometheus::MetricFamily& family, const LabelSet& labels,
                int64_t count, double sum);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_FAMILIES_H_
