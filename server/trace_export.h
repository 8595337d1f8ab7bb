// The export of traces, as the config asks for it.
#ifndef LOSSD_SERVER_TRACE_EXPORT_H_
#define LOSSD_SERVER_TRACE_EXPORT_H_

#include <memory>

#include "absl/time/time.h"
#include "server/base/clock.h"
#include "server/config.h"
#include "server/observability/metrics.h"
#include "server/tracing/batch_span_processor.h"

namespace lossd {

// The longest time that a server which has drained waits for its collector.
inline constexpr absl::Duration kLastSpans = absl::Seconds(3);

// Returns what takes the traces of calls, or null without --otlp_endpoint. Its
// counts become metrics, which must not be scraped after its end. Borrows
// `clock` and `metrics`.
std::unique_ptr<tracing::BatchSpanProcessor> MakeSpanProcessor(
    const Config& config, const Clock* clock, observability::Metrics* metrics);

}  // namespace lossd

#endif  // LOSSD_SERVER_TRACE_EXPORT_H_
