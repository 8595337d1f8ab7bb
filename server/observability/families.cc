#include "server/observability/families.h"

#include <prometheus/metric_family.h>

namespace lossd::observability {
namespace {

prometheus::MetricType TypeOf(const MetricInfo& metric) {
  switch (metric.type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricType::kHistogram:
      return prometheus::MetricType::Histogram;
    case MetricType::kSummary:
      return prometheus::MetricType::Summary;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric& AddSample(prometheus::MetricFamily& family,
                                    const LabelSet& labels) {
  prometheus::ClientMetric& sample = family.metric.emplace_back();
  for (const auto& [name, value] : labels)
    sample.label.push_back({name, value});
  return sample;
}

}  // namespace

prometheus::MetricFamily EmptyFamily(const MetricInfo& metric) {
  prometheus::MetricFamily family;
  family.name = metric.name;
  family.help = metric.help;
  family.type = TypeOf(metric);
  return family;
}

prometheus::MetricFamily FamilyOf(const MetricInfo& metric, double value) {
  prometheus::MetricFamily family = EmptyFamily(metric);
  AddValue(family, {}, value);
  return family;
}

void AddValue(prometheus::MetricFamily& family, const LabelSet& labels,
              double value) {
  prometheus::ClientMetric& sample = AddSample(family, labels);
  if (family.type == prometheus::MetricType::Counter) {
    sample.counter.value = value;
  } else {
    sample.gauge.value = value;
  }
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

void AddSummary(prometheus::MetricFamily& family, const LabelSet& labels,
                int64_t count, double sum) {
  auto& summary = AddSample(family, labels).summary;
  summary.sample_count = static_cast<uint64_t>(count);
  summary.sample_sum = sum;
}

}  // namespace lossd::observability
