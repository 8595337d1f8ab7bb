// Makes spans, as OTLP sends them, of what was recorded of calls.
#ifndef LOSSD_SERVER_TRACING_OTLP_SPANS_H_
#define LOSSD_SERVER_TRACING_OTLP_SPANS_H_

#include <memory>
#include <span>

#include "opentelemetry/proto/collector/trace/v1/trace_service.pb.h"
#include "server/tracing/call_trace.h"

namespace lossd::tracing {

using ExportRequest =
    opentelemetry::proto::collector::trace::v1::ExportTraceServiceRequest;

// Returns the request that carries the spans of these calls, which have ended.
// `resource` says which process has made them. Attributes and the status are
// those of OpenTelemetry's conventions for gRPC; those of lossd begin with
// "lossd.". `to_time_of_day` is added to the times of the calls, which are
// steady ones.
ExportRequest RequestOf(std::span<const std::unique_ptr<CallTrace>> traces,
                        const Attributes& resource,
                        absl::Duration to_time_of_day = absl::ZeroDuration());

}  // namespace lossd::tracing

#endif  // LOSSD_SERVER_TRACING_OTLP_SPANS_H_
