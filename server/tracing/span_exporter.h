// The interface of what brings spans to a collector.
#ifndef LOSSD_SERVER_TRACING_SPAN_EXPORTER_H_
#define LOSSD_SERVER_TRACING_SPAN_EXPORTER_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "server/tracing/otlp_spans.h"

namespace lossd::tracing {

struct ExportResult {
  enum class Outcome {
    kAccepted,
    kTryAgain,  // there was no answer, or one that asks for patience
    kRefused,   // the same request would be refused again
  };
  Outcome outcome = Outcome::kAccepted;
  std::string reason;         // why not all spans were accepted
  int64_t refused_spans = 0;  // of a request that was accepted
  // The collector's own wish for the time until the next try; 0 for none.
  absl::Duration retry_after;
};

// Used by one thread.
class SpanExporter {
 public:
  virtual ~SpanExporter() = default;

  // Sends the request and waits for the answer, for at most `timeout`.
  virtual ExportResult Export(const ExportRequest& request,
                              absl::Duration timeout) = 0;
};

}  // namespace lossd::tracing

#endif  // LOSSD_SERVER_TRACING_SPAN_EXPORTER_H_
