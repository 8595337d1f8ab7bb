// What the server counts. Names and labels: server_families.cc; buckets:
// cells.h.
#ifndef LOSSD_SERVER_OBSERVABILITY_METRICS_H_
#define LOSSD_SERVER_OBSERVABILITY_METRICS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"

namespace prometheus {
class Collectable;
}

namespace lossd::observability {

enum class Method { kComputeLoss, kStreamLoss, kGetServerInfo };

// Counters and histograms in one shard per thread, added up when scraped:
// recording takes no lock and shares no cache line, but for a thread's first
// record, which takes its shard. Thread-safe; outlives all who record and all
// who scrape.
//
// In every scrape, each method's accepted calls are at least its finished ones;
// they are equal when nothing is in flight.
class Metrics {
 public:
  Metrics(std::string version, std::string backend);
  ~Metrics();

  // A call was taken off the wire: lossd_accepted_total{method}.
  void CallAccepted(Method method);
  // Its end, exactly once: lossd_requests_total{method,code},
  // lossd_request_seconds{method}. OK, CANCELLED and DEADLINE_EXCEEDED are told
  // apart by their code; the rest are errors.
  void CallFinished(Method method, absl::StatusCode code,
                    absl::Duration latency);
  // lossd_rejected_total{reason}; reason is one of a few literals: bytes,
  // requests, share, deadline, draining.
  void Rejected(std::string_view reason);

  void BytesReceived(int64_t bytes);
  void BytesSent(int64_t bytes);
  void ElementsComputed(kernels::LossKind loss, kernels::ElementType logits,
                        int64_t elements);
  void NanLogits(int64_t count);

  void BatchTaken(int64_t requests, int64_t elements);
  void QueueWait(absl::Duration wait);                           // per task
  void Compute(std::string_view backend, absl::Duration spent);  // per batch
  void DeviceError(std::string_view device);

  // A value read at each scrape, such as lossd_queue_depth. `read` is called
  // from the scraping thread and stays callable as long as this object is
  // scraped. Set before serving.
  void AddGauge(std::string name, std::string help,
                std::function<double()> read);

  // What an exposer scrapes.
  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  class Ledger;
  // Shared because an exposer's threads may be in a scrape when they are
  // stopped.
  const std::shared_ptr<Ledger> ledger_;
};

}  // namespace lossd::observability

#endif  // LOSSD_SERVER_OBSERVABILITY_METRICS_H_
