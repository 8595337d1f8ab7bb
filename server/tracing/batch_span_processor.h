// Gathers the traces of calls that have ended, and has them exported.
#ifndef LOSSD_SERVER_TRACING_BATCH_SPAN_PROCESSOR_H_
#define LOSSD_SERVER_TRACING_BATCH_SPAN_PROCESSOR_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/tracing/call_trace.h"
#include "server/tracing/span_exporter.h"

namespace lossd::tracing {

struct BatchSpanProcessorOptions {
  // Calls that wait to be exported; further ones are dropped. A call has up to
  // 5 spans, and takes at most about 2 KiB here.
  size_t max_queued_calls = 2048;
  size_t max_batch_calls = 128;
  // A batch is sent when it is full, or so long after its first call.
  absl::Duration longest_wait = absl::Seconds(1);
  // The collector has so long to answer.
  absl::Duration timeout = absl::Seconds(3);
  // A batch is tried so often, and then dropped. The time between two tries
  // doubles from the first delay on, unless the collector names one.
  int attempts = 5;
  absl::Duration first_delay = absl::Seconds(1);
  absl::Duration longest_delay = absl::Seconds(30);
  Attributes resource = {};  // the process that makes the spans
};

// A collector that is slow or away never delays a call: one thread exports, and
// what finds its queue full is dropped and counted. A warning says that spans
// are lost, at most one a minute. Thread-safe.
class BatchSpanProcessor {
 public:
  // Borrows `clock`.
  BatchSpanProcessor(BatchSpanProcessorOptions options,
                     std::unique_ptr<SpanExporter> exporter,
                     const Clock* clock);
  // Drops what still waits, if Shutdown() was not called.
  ~BatchSpanProcessor();
  BatchSpanProcessor(const BatchSpanProcessor&) = delete;
  BatchSpanProcessor& operator=(const BatchSpanProcessor&) = delete;

  // Takes the trace of a call that has ended. Never waits for the exporter.
  void OnEnd(std::unique_ptr<CallTrace> trace);

  // Exports what waits, each batch once, for at most `timeout`; an export that
  // is under way may end first, within its own timeout. The rest is dropped,
  // and so are calls that end after this.
  void Shutdown(absl::Duration timeout);

  int64_t exported_spans() const;
  // Returns the number of spans that were dropped, by reason:
  //   queue_full   they came faster than they were exported
  //   unreachable  no try was answered, or each answer asked for patience
  //   refused      the collector does not want them
  //   shutdown     the server ended first
  std::map<std::string, int64_t> dropped_spans() const;

 private:
  enum class Reason { kQueueFull, kUnreachable, kRefused, kShutdown };
  using Batch = std::vector<std::unique_ptr<CallTrace>>;

  void Run();
  // Waits for a batch. Returns an empty one when the thread is to end.
  Batch Take();
  void Deliver(const Batch& batch);
  // Returns the time that the next try may take; 0 if there must be none.
  absl::Duration TimeForTry() const;
  // Waits until the next try. Returns false if the thread is to end.
  bool WaitForTry(absl::Duration delay);
  void Count(const ExportResult& result, int64_t spans);
  void Drop(Reason reason, int64_t spans);
  void Warn(const std::string& reason);

  const BatchSpanProcessorOptions options_;
  const std::unique_ptr<SpanExporter> exporter_;  // the thread's
  const Clock* const clock_;

  mutable absl::Mutex mu_;
  absl::CondVar changed_;
  std::deque<std::unique_ptr<CallTrace>> queue_ ABSL_GUARDED_BY(mu_);
  // From Shutdown() on: when the last export has to be over.
  absl::Time end_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  int64_t exported_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<Reason, int64_t> dropped_ ABSL_GUARDED_BY(mu_);

  absl::Time warned_ = absl::InfinitePast();  // the thread's
  std::thread thread_;  // declared last: it uses all of the above
};

}  // namespace lossd::tracing

#endif  // LOSSD_SERVER_TRACING_BATCH_SPAN_PROCESSOR_H_
