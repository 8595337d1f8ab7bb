// How values become what Prometheus reads.
#ifndef LOSSD_SERVER_OBSERVABILITY_FAMILIES_H_
#define LOSSD_SERVER_OBSERVABILITY_FAMILIES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/observability/cells.h"

namespace prometheus {
struct MetricFamily;
}

namespace lossd::observability {

// Names and values of one sample's labels.
using LabelSet = std::vector<std::pair<std::string, std::string>>;

// A histogram whose cells were added up.
struct HistogramTotals {
  explicit HistogramTotals(Doubling of) : scale(of), buckets(of.bounds + 1) {}

  template <Doubling kScale>
  void Add(const Histogram<kScale>& histogram) {
    // The buckets first: Observe() adds to the sum before, so a scrape in its
    // middle never shows a count without its value.
    for (size_t i = 0; i < buckets.size(); ++i)
      buckets[i] += histogram.buckets[i].Read();
    sum += histogram.sum.Read();
  }

  Doubling scale;
  std::vector<int64_t> buckets;
  int64_t sum = 0;
};

// Families without labels.
prometheus::MetricFamily CounterFamily(std::string name, std::string help,
                                       double value);
prometheus::MetricFamily GaugeFamily(std::string name, std::string help,
                                     double value);

// Families to which samples are added.
prometheus::MetricFamily EmptyCounterFamily(std::string name, std::string help);
prometheus::MetricFamily EmptyGaugeFamily(std::string name, std::string help);
prometheus::MetricFamily EmptyHistogramFamily(std::string name,
                                              std::string help);

void AddCounter(prometheus::MetricFamily& family, const LabelSet& labels,
                int64_t value);
void AddGaugeSample(prometheus::MetricFamily& family, const LabelSet& labels,
                    double value);
// `per_unit`: how many of the histogram's integers make one of the family's
// unit, 1e9 for nanoseconds shown as seconds.
void AddHistogram(prometheus::MetricFamily& family, const LabelSet& labels,
                  const HistogramTotals& totals, double per_unit);

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_FAMILIES_H_
