// Counts what the server does. metric_list.h has the names of the metrics,
// server_families.cc their labels, cells.h the buckets of histograms.
#ifndef LOSSD_SERVER_OBSERVABILITY_METRICS_H_
#define LOSSD_SERVER_OBSERVABILITY_METRICS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"
#include "server/observability/job_metrics.h"
#include "server/observability/metric_list.h"

namespace prometheus {
class Collectable;
}

namespace lossd::observability {

// An entry of a ComputeLosses stream is a request, as a call of ComputeLoss is;
// the stream that carries it is counted by itself.
enum class Method {
  kComputeLoss,
  kStreamLoss,
  kComputeLosses,  // one entry
  kComputeLossesStream,
  kGetServerInfo
};

// Keeps counters and histograms in one shard per thread, which are added up at
// a scrape (D41). Recording takes no lock and shares no cache line; only a
// thread's first record takes a lock, to get its shard. Thread-safe. Must
// outlive everything that records.
//
// In every scrape, the accepted calls of each method are at least as many as
// its finished ones; they are equal when no call is in flight.
class Metrics {
 public:
  // `max_jobs` names of training jobs are kept (JobNames).
  Metrics(std::string version, std::string backend, size_t max_jobs = 0);
  ~Metrics();

  // Records that a call was taken off the wire: lossd_accepted_total{method}.
  void RecordCallAccepted(Method method);
  // Records the call's end, exactly once: lossd_requests_total{method,code},
  // lossd_request_seconds{method}.
  void RecordCallFinished(Method method, absl::StatusCode code,
                          absl::Duration latency);
  // Records a refusal by admission: lossd_rejected_total{reason}. `reason` is
  // one of bytes, requests, share, deadline, draining.
  void RecordRejection(std::string_view reason);

  void RecordBytesReceived(int64_t bytes);
  void RecordBytesSent(int64_t bytes);
  void RecordElements(kernels::LossKind loss, kernels::ElementType logits,
                      int64_t elements);
  void RecordNanLogits(int64_t count);

  void RecordBatch(int64_t requests, int64_t elements);
  // Records how long one task waited in the queue.
  void RecordQueueWait(absl::Duration wait);
  // Records how long an executor spent on one batch.
  void RecordCompute(std::string_view backend, absl::Duration spent);
  void RecordDeviceError(std::string_view device);

  // Returns the counts of training jobs. They live as long as the metrics.
  JobMetrics& jobs();
  const JobMetrics& jobs() const;

  // Returns how many calls were refused so far, by reason: the reasons of
  // RecordRejection(), and the codes of answers that say that the request
  // itself, its client or the server is at fault, such as INVALID_ARGUMENT.
  std::map<std::string, int64_t> Refusals() const;

  // Adds a gauge whose value is read at each scrape. `read` is called from the
  // scraping thread and must stay callable as long as this object is scraped.
  // Call before serving.
  void AddGauge(const MetricInfo& metric, std::function<double()> read);

  // As AddGauge, for a gauge with one label: `read` returns the value for each
  // value of the label.
  using ValueByLabel = std::map<std::string, double>;
  void AddGaugeByLabel(const MetricInfo& metric, std::string label,
                       std::function<ValueByLabel()> read);

  // Returns the object that an exposer scrapes.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  class Ledger;
  // Shared with the exposer, whose threads may be in a scrape when they are
  // stopped.
  const std::shared_ptr<Ledger> ledger_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_METRICS_H_
