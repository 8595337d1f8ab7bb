#include "server/observability/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/observability/families.h"
#include "server/observability/per_thread.h"
#include "server/observability/process_metrics.h"
#include "server/observability/saturation.h"
#include "server/observability/server_families.h"
#include "server/observability/shard.h"

namespace lossd::observability {
namespace {

using prometheus::MetricFamily;

// Returns the time on a clock that is never set.
absl::Duration Now() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

size_t Index(Method method) { return static_cast<size_t>(method); }

// A code that gRPC does not have is a defect of ours and counts as INTERNAL.
size_t Index(absl::StatusCode code) {
  const auto index = static_cast<size_t>(code);
  return index < kStatusCodes
             ? index
             : static_cast<size_t>(absl::StatusCode::kInternal);
}

}  // namespace

// Holds what is recorded and answers scrapes.
class Metrics::Ledger final : public prometheus::Collectable {
 public:
  Ledger(std::string version, std::string backend, size_t max_jobs)
      : version_(std::move(version)),
        backend_(std::move(backend)),
        jobs_(max_jobs) {}

  Shard& Local() { return shards_.Local(); }
  JobMetrics& jobs() { return jobs_; }

  // Reads a gauge for one scrape.
  using Gauge = std::function<MetricFamily()>;

  void AddGauge(Gauge gauge) {
    absl::MutexLock lock(&mu_);
    gauges_.push_back(std::move(gauge));
  }

  std::map<std::string, int64_t> Refusals() const {
    return CollectRefusals(shards_);
  }

  std::vector<prometheus::MetricFamily> Collect() const override {
    ServerFamilies server = CollectServer(shards_, backend_);
    std::vector<prometheus::MetricFamily> families = std::move(server.families);
    std::ranges::move(jobs_.Families(), std::back_inserter(families));
    absl::MutexLock lock(&mu_);
    families.push_back(
        FamilyOf(metric::kSaturation,
                 saturation_.AtScrape(Now(), server.queue_nanoseconds,
                                      server.compute_nanoseconds)));
    for (const Gauge& gauge : gauges_) {
      families.push_back(gauge());
    }
    prometheus::MetricFamily build = EmptyFamily(metric::kBuildInfo);
    AddValue(build, {{"version", version_}, {"backend", backend_}}, 1);
    families.push_back(std::move(build));
    std::ranges::move(ProcessFamilies(), std::back_inserter(families));
    return families;
  }

 private:
  const std::string version_;
  const std::string backend_;
  // These two have their own synchronisation.
  PerThread<Shard> shards_;
  JobMetrics jobs_;
  mutable absl::Mutex mu_;  // taken by scrapes, never by recording
  std::vector<Gauge> gauges_ ABSL_GUARDED_BY(mu_);
  mutable Saturation saturation_ ABSL_GUARDED_BY(mu_);
};

Metrics::Metrics(std::string version, std::string backend, size_t max_jobs)
    : ledger_(std::make_shared<Ledger>(std::move(version), std::move(backend),
                                       max_jobs)) {}

Metrics::~Metrics() = default;

void Metrics::RecordCallAccepted(Method method) {
  ledger_->Local().accepted[Index(method)].Add(1);
}

void Metrics::RecordCallFinished(Method method, absl::StatusCode code,
                                 absl::Duration latency) {
  Shard& shard = ledger_->Local();
  shard.finished[Index(method)][Index(code)].Add(1);
  shard.request_seconds[Index(method)].Observe(
      absl::ToInt64Nanoseconds(latency));
}

void Metrics::RecordRejection(std::string_view reason) {
  ledger_->Local().rejected.At(reason).Add(1);
}

void Metrics::RecordBytesReceived(int64_t bytes) {
  ledger_->Local().received_bytes.Add(bytes);
}

void Metrics::RecordBytesSent(int64_t bytes) {
  ledger_->Local().sent_bytes.Add(bytes);
}

void Metrics::RecordElements(kernels::LossKind loss,
                             kernels::ElementType logits, int64_t elements) {
  ledger_->Local()
      .elements[static_cast<size_t>(loss)][static_cast<size_t>(logits)]
      .Add(elements);
}

void Metrics::RecordNanLogits(int64_t count) {
  ledger_->Local().nan_logits.Add(count);
}

void Metrics::RecordBatch(int64_t requests, int64_t elements) {
  Shard& shard = ledger_->Local();
  shard.batch_requests.Observe(requests);
  shard.batch_elements.Observe(elements);
}

void Metrics::RecordQueueWait(absl::Duration wait) {
  ledger_->Local().queue_seconds.Observe(absl::ToInt64Nanoseconds(wait));
}

void Metrics::RecordCompute(std::string_view backend, absl::Duration spent) {
  ledger_->Local().compute_seconds.At(backend).Observe(
      absl::ToInt64Nanoseconds(spent));
}

void Metrics::RecordDeviceError(std::string_view device) {
  ledger_->Local().device_errors.At(device).Add(1);
}

JobMetrics& Metrics::jobs() { return ledger_->jobs(); }

const JobMetrics& Metrics::jobs() const { return ledger_->jobs(); }

std::map<std::string, int64_t> Metrics::Refusals() const {
  return ledger_->Refusals();
}

void Metrics::AddGauge(const MetricInfo& metric, std::function<double()> read) {
  ledger_->AddGauge(
      [metric, read = std::move(read)] { return FamilyOf(metric, read()); });
}

void Metrics::AddGaugeByLabel(const MetricInfo& metric, std::string label,
                              std::function<ValueByLabel()> read) {
  ledger_->AddGauge([metric, label = std::move(label), read = std::move(read)] {
    MetricFamily family = EmptyFamily(metric);
    for (const auto& [name, value] : read()) {
      AddValue(family, {{label, name}}, value);
    }
    return family;
  });
}

std::shared_ptr<prometheus::Collectable> Metrics::collectable() const {
  return ledger_;
}

}  // namespace lossd::observability
