#include "server/observability/families.h"

#include <prometheus/metric_family.h>

namespace lossd::observability {
namespace {

prometheus::MetricFamily Family(std::string name, std::string help,
                                prometheus::MetricType type) {
  prometheus::MetricFamily family;
  family.name = std::move(name);
  family.help = std::move(help);
  family.type = type;
  return family;
}

prometheus::ClientMetric& AddSample(prometheus::MetricFamily& family,
                                    const LabelSet& labels) {
  prometheus::ClientMetric& sample = family.metric.emplace_back();
  for (const auto& [name, value] : labels)
    sample.label.push_back({name, value});
  return sample;
}

}  // namespace

prometheus::MetricFamily EmptyCounterFamily(std::string name,
                                            std::string help) {
  return Family(std::move(name), std::move(help),
                prometheus::MetricType::Counter);
}

prometheus::MetricFamily EmptyGaugeFamily(std::string name, std::string help) {
  return Family(std::move(name), std::move(help),
                prometheus::MetricType::Gauge);
}

prometheus::MetricFamily EmptyHistogramFamily(std::string name,
                                              std::string help) {
  return Family(std::move(name), std::move(help),
                prometheus::MetricType::Histogram);
}

prometheus::MetricFamily CounterFamily(std::string name, std::string help,
                                       double value) {
  auto family = EmptyCounterFamily(std::move(name), std::move(help));
  AddSample(family, {}).counter.value = value;
  return family;
}

prometheus::MetricFamily GaugeFamily(std::string name, std::string help,
                                     double value) {
  auto family = EmptyGaugeFamily(std::move(name), std::move(help));
  AddGaugeSample(family, {}, value);
  return family;
}

void AddCounter(prometheus::MetricFamily& family, const LabelSet& labels,
                int64_t value) {
  AddSample(family, labels).counter.value = static_cast<double>(value);
}

void AddGaugeSample(prometheus::MetricFamily& family, const LabelSet& labels,
                    double value) {
  AddSample(family, labels).gauge.value = value;
}

void AddHistogram(prometheus::MetricFamily& family, const LabelSet& labels,
                  const HistogramTotals& totals, double per_unit) {
  auto& histogram = AddSample(family, labels).histogram;
  uint64_t count = 0;
  for (size_t i = 0; i < totals.buckets.size(); ++i) {
    count += static_cast<uint64_t>(totals.buckets[i]);
    if (i == totals.scale.bounds) break;  // the open bucket is the count itself
    histogram.bucket.push_back(
        {count, static_cast<double>(totals.scale.Bound(i)) / per_unit});
  }
  histogram.sample_count = count;
  histogram.sample_sum = static_cast<double>(totals.sum) / per_unit;
}

}  // namespace lossd::observability
