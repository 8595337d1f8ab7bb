#include "client/cli/watch/activity.h"

#include "client/cli/watch/histogram.h"
#include "client/cli/watch/increase.h"

namespace lossd::cli::watch {
namespace {

constexpr char kStartTime[] = "process_start_time_seconds";

// Answers questions about the time between two scrapes.
class Comparison {
 public:
  Comparison(const Scrape& earlier, const Scrape& later)
      : restarted_(Restarted(earlier.metrics, later.metrics)),
        earlier_(restarted_ ? nothing_ : earlier.metrics),
        later_(later.metrics),
        seconds_(absl::ToDoubleSeconds(later.time - earlier.time)) {}
  Comparison(const Comparison&) = delete;
  Comparison& operator=(const Comparison&) = delete;

  bool restarted() const { return restarted_; }
  const Exposition& later() const { return later_; }

  double Now(const std::string& name) const {
    return later_.Value(name).value_or(0);
  }

  // Returns the rates of a counter's samples by the values of their labels.
  ByLabel Rates(const std::string& name) const {
    ByLabel rates;
    for (const Sample& sample : later_.Of(name)) {
      rates[TextOf(sample.labels)] += Increase(earlier_, name, sample);
    }
    for (auto& [label, rate] : rates) rate = PerSecond(rate);
    return rates;
  }

  // Returns the rates of a counter's samples by one of their labels.
  ByLabel Rates(const std::string& name, const std::string& label) const {
    ByLabel rates;
    for (const Sample& sample : later_.Of(name)) {
      const auto found = sample.labels.find(label);
      if (found == sample.labels.end()) continue;
      rates[found->second] += PerSecond(Increase(earlier_, name, sample));
    }
    return rates;
  }

  double Rate(const std::string& name) const { return Total(Rates(name)); }

  Histogram Since(const std::string& name, const Labels& labels = {}) const {
    return Between(HistogramOf(earlier_, name, labels),
                   HistogramOf(later_, name, labels));
  }

  Distribution DistributionOf(const std::string& name,
                              const Labels& labels = {}) const {
    const Histogram values = Since(name, labels);
    std::optional<double> least;
    if (!values.buckets.empty()) least = values.buckets.front().bound;
    return {.per_second = PerSecond(values.count),
            .mean = values.Mean(),
            .p50 = values.Quantile(0.5),
            .p90 = values.Quantile(0.9),
            .p99 = values.Quantile(0.99),
            .least = least};
  }

  Distributions DistributionsBy(const std::string& name) const {
    Distributions all;
    for (const Sample& sample : later_.Of(name + "_count")) {
      all[TextOf(sample.labels)] = DistributionOf(name, sample.labels);
    }
    return all;
  }

 private:
  // Compares the start of the process. Without it, counters alone tell.
  static bool Restarted(const Exposition& earlier, const Exposition& later) {
    const auto before = earlier.Value(kStartTime);
    const auto now = later.Value(kStartTime);
    return before.has_value() && now.has_value() && *before != *now;
  }

  double PerSecond(double increase) const {
    return seconds_ > 0 ? increase / seconds_ : 0;
  }

  const Exposition nothing_{};
  const bool restarted_;
  const Exposition& earlier_;
  const Exposition& later_;
  const double seconds_;
};

void FillRates(const Comparison& comparison, Activity& activity) {
  activity.requests = comparison.Rates("lossd_requests_total", "code");
  activity.refused = comparison.Rates("lossd_rejected_total");
  activity.elements = comparison.Rates("lossd_elements_total");
  activity.received_bytes = comparison.Rate("lossd_received_bytes_total");
  activity.sent_bytes = comparison.Rate("lossd_sent_bytes_total");
  activity.device_errors = comparison.Rate("lossd_device_errors_total");
  activity.cpu_cores = comparison.Rate("process_cpu_seconds_total");
}

void FillDistributions(const Comparison& comparison, Activity& activity) {
  activity.request_seconds =
      comparison.DistributionsBy("lossd_request_seconds");
  activity.compute_seconds =
      comparison.DistributionsBy("lossd_compute_seconds");
  activity.queue_seconds = comparison.DistributionOf("lossd_queue_seconds");
  activity.batch_requests = comparison.DistributionOf("lossd_batch_requests");
  activity.batch_elements = comparison.DistributionOf("lossd_batch_elements");
  double computed = 0;
  for (const Sample& sample :
       comparison.later().Of("lossd_compute_seconds_count")) {
    computed += comparison.Since("lossd_compute_seconds", sample.labels).sum;
  }
  if (computed > 0) {
    activity.saturation =
        comparison.Since("lossd_queue_seconds").sum / computed;
  }
}

void FillGauges(const Comparison& comparison, Activity& activity) {
  activity.queue_depth = comparison.Now("lossd_queue_depth");
  activity.executors_busy = comparison.Now("lossd_executors_busy");
  activity.executors = comparison.Now("lossd_executors");
  activity.inflight_requests = comparison.Now("lossd_inflight_requests");
  activity.max_inflight_requests =
      comparison.Now("lossd_max_inflight_requests");
  activity.inflight_bytes = comparison.Now("lossd_inflight_bytes");
  activity.max_inflight_bytes = comparison.Now("lossd_max_inflight_bytes");
  activity.shared_memory_bytes = comparison.Now("lossd_shared_memory_bytes");
  activity.lent_memory_bytes = comparison.Now("lossd_lent_memory_bytes");
  activity.resident_bytes = comparison.Now("process_resident_memory_bytes");
  for (const Sample& sample : comparison.later().Of("lossd_connections")) {
    activity.connections[TextOf(sample.labels)] = sample.value;
  }
}

void FillIdentity(const Comparison& comparison, Activity& activity) {
  activity.serving = comparison.Now("lossd_serving") == 1;
  activity.uptime = activity.time - absl::UnixEpoch() -
                    absl::Seconds(comparison.Now(kStartTime));
  for (const Sample& sample : comparison.later().Of("lossd_build_info")) {
    const auto text = [&sample](const char* label) {
      const auto found = sample.labels.find(label);
      return found == sample.labels.end() ? std::string() : found->second;
    };
    activity.version = text("version");
    activity.backend = text("backend");
  }
}

}  // namespace

Activity ActivityBetween(const Scrape& earlier, const Scrape& later) {
  const Comparison comparison(earlier, later);
  Activity activity;
  activity.time = later.time;
  activity.interval = later.time - earlier.time;
  activity.restarted = comparison.restarted();
  FillIdentity(comparison, activity);
  FillRates(comparison, activity);
  FillDistributions(comparison, activity);
  FillGauges(comparison, activity);
  activity.jobs =
      JobsBetween(activity.restarted ? Exposition() : earlier.metrics,
                  later.metrics, absl::ToDoubleSeconds(activity.interval));
  return activity;
}

double Total(const ByLabel& values) {
  double total = 0;
  for (const auto& [label, value] : values) total += value;
  return total;
}

}  // namespace lossd::cli::watch
