#include "server/tracing/otlp_spans.h"

#include <algorithm>
#include <string_view>

#include "base/version.h"

namespace lossd::tracing {
namespace {

using opentelemetry::proto::common::v1::KeyValue;
using opentelemetry::proto::trace::v1::ScopeSpans;
using opentelemetry::proto::trace::v1::Span;
using opentelemetry::proto::trace::v1::Status;

constexpr std::string_view kService = "lossd.v1.LossService";

// OTLP's bits beside the flags of W3C.
constexpr uint32_t kKnowsIsRemote = 1u << 8;
constexpr uint32_t kIsRemote = 1u << 9;

template <size_t kBytes>
std::string BytesOf(const std::array<char, kBytes>& id) {
  return {id.data(), id.size()};
}

template <typename Attributed>
void AddAttribute(Attributed& to, const Attribute& attribute) {
  KeyValue& pair = *to.add_attributes();
  pair.set_key(std::string(attribute.key));
  if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    pair.mutable_value()->set_string_value(*text);
  } else {
    pair.mutable_value()->set_int_value(std::get<int64_t>(attribute.value));
  }
}

void AddAttributes(Span& span, const Attributes& attributes) {
  for (const Attribute& attribute : attributes) AddAttribute(span, attribute);
}

// A span does not end before it starts, whatever was noted.
void SetTimes(absl::Time start, absl::Time end, Span& span) {
  span.set_start_time_unix_nano(
      static_cast<uint64_t>(absl::ToUnixNanos(start)));
  span.set_end_time_unix_nano(
      static_cast<uint64_t>(absl::ToUnixNanos(std::max(start, end))));
}

// The codes with which OpenTelemetry's conventions find a server at fault.
bool IsServersFault(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

void AddCall(const CallTrace& trace, ScopeSpans& scope) {
  Span& span = *scope.add_spans();
  span.set_trace_id(BytesOf(trace.parent.trace_id));
  span.set_span_id(BytesOf(trace.span_id));
  span.set_parent_span_id(BytesOf(trace.parent.span_id));
  span.set_trace_state(trace.parent.state);
  span.set_flags(trace.parent.flags | kKnowsIsRemote |
                 (trace.is_call ? kIsRemote : 0));
  span.set_name(std::string(trace.name));
  span.set_kind(trace.is_call ? Span::SPAN_KIND_SERVER
                              : Span::SPAN_KIND_INTERNAL);
  SetTimes(trace.received, trace.ended, span);
  AddAttributes(span,
                {{"rpc.system", "grpc"},
                 {"rpc.service", std::string(kService)},
                 {"rpc.method", std::string(trace.method)},
                 {"rpc.grpc.status_code", static_cast<int64_t>(trace.code)}});
  AddAttributes(span, trace.attributes);
  if (trace.code == absl::StatusCode::kOk) return;
  AddAttributes(span, {{"lossd.reason", trace.reason}});
  if (!IsServersFault(trace.code)) return;
  span.mutable_status()->set_code(Status::STATUS_CODE_ERROR);
  span.mutable_status()->set_message(trace.reason);
}

Span& AddStage(const CallTrace& trace, std::string_view name, absl::Time start,
               absl::Time end, ScopeSpans& scope) {
  Span& span = *scope.add_spans();
  span.set_trace_id(BytesOf(trace.parent.trace_id));
  span.set_span_id(BytesOf(NewSpanId()));
  span.set_parent_span_id(BytesOf(trace.span_id));
  span.set_trace_state(trace.parent.state);
  span.set_flags(trace.parent.flags | kKnowsIsRemote);
  span.set_name(std::string(name));
  span.set_kind(Span::SPAN_KIND_INTERNAL);
  SetTimes(start, end, span);
  return span;
}

// A time that was not reached is in the infinite future or past.
void AddStages(const CallTrace& trace, ScopeSpans& scope) {
  const bool computed = trace.computed != absl::InfinitePast();
  const absl::Time answered = std::min(trace.answered, trace.ended);
  const absl::Time enqueued = std::min(trace.enqueued, answered);
  const absl::Time started = std::min(trace.started, answered);
  const absl::Time done = computed ? trace.computed : answered;
  AddStage(trace, "receive", trace.received, enqueued, scope);
  if (trace.enqueued != absl::InfiniteFuture()) {
    AddStage(trace, "queue", enqueued, started, scope);
  }
  if (trace.started != absl::InfiniteFuture()) {
    AddAttributes(AddStage(trace, "compute", started, done, scope),
                  trace.compute_attributes);
  }
  AddStage(trace, "reply", done, trace.ended, scope);
}

}  // namespace

ExportRequest RequestOf(std::span<const std::unique_ptr<CallTrace>> traces,
                        const Attributes& resource,
                        absl::Duration to_time_of_day) {
  ExportRequest request;
  auto& spans = *request.add_resource_spans();
  for (const Attribute& attribute : resource) {
    AddAttribute(*spans.mutable_resource(), attribute);
  }
  ScopeSpans& scope = *spans.add_scope_spans();
  scope.mutable_scope()->set_name("lossd");
  scope.mutable_scope()->set_version(kVersion);
  for (const std::unique_ptr<CallTrace>& trace : traces) {
    AddCall(*trace, scope);
    if (trace->has_stages) AddStages(*trace, scope);
  }
  const auto shift =
      static_cast<uint64_t>(absl::ToInt64Nanoseconds(to_time_of_day));
  for (Span& span : *scope.mutable_spans()) {
    span.set_start_time_unix_nano(span.start_time_unix_nano() + shift);
    span.set_end_time_unix_nano(span.end_time_unix_nano() + shift);
  }
  return request;
}

}  // namespace lossd::tracing
