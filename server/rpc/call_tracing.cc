#include "server/rpc/call_tracing.h"

#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lossd::rpc {
namespace {

using observability::Method;
using tracing::CallTrace;
using tracing::TraceContext;

absl::string_view TextOf(const grpc::string_ref& value) {
  return {value.data(), value.size()};
}

// A list may be divided among several; W3C says that commas join them.
std::string StateOf(const grpc::ServerContext& context) {
  const auto [first, end] = context.client_metadata().equal_range("tracestate");
  std::string state;
  for (auto it = first; it != end; ++it) {
    absl::StrAppend(&state, state.empty() ? "" : ",", TextOf(it->second));
  }
  return tracing::IsTracestate(state) ? state : std::string();
}

std::optional<TraceContext> ContextOf(const grpc::ServerContext& context) {
  const auto [first, end] =
      context.client_metadata().equal_range("traceparent");
  if (first == end || std::next(first) != end) return std::nullopt;
  const absl::string_view value = TextOf(first->second);
  if (!tracing::MayBeSampled(value)) return std::nullopt;
  return tracing::ParseTraceparent(value);
}

}  // namespace

std::unique_ptr<CallTrace> BeginTrace(const grpc::ServerContext& context,
                                      Method method, absl::Time received) {
  std::optional<TraceContext> parent = ContextOf(context);
  if (!parent.has_value() || !parent->sampled()) return nullptr;
  parent->state = StateOf(context);
  auto trace = std::make_unique<CallTrace>();
  trace->parent = *std::move(parent);
  trace->span_id = tracing::NewSpanId();
  trace->received = received;
  if (method == Method::kComputeLoss) {
    trace->name = "lossd.v1.LossService/ComputeLoss";
    trace->method = "ComputeLoss";
  } else if (method == Method::kStreamLoss) {
    trace->name = "lossd.v1.LossService/StreamLoss";
    trace->method = "StreamLoss";
  } else {
    trace->name = "lossd.v1.LossService/ComputeLosses";
    trace->method = "ComputeLosses";
    trace->has_stages = false;
  }
  return trace;
}

std::unique_ptr<CallTrace> BeginEntryTrace(const CallTrace* stream, uint64_t id,
                                           absl::Time received) {
  if (stream == nullptr) return nullptr;
  auto trace = std::make_unique<CallTrace>();
  trace->parent = stream->parent;
  trace->parent.span_id = stream->span_id;
  trace->is_call = false;
  trace->span_id = tracing::NewSpanId();
  trace->name = "ComputeLosses entry";
  trace->method = stream->method;
  trace->received = received;
  trace->Add("lossd.entry_id", static_cast<int64_t>(id));
  return trace;
}

void TraceTask(const batching::Task& task, const batching::Computed& computed,
               CallTrace* trace) {
  if (trace == nullptr) return;
  trace->AddTask(task.enqueued, computed.started, computed.finished);
  trace->compute_attributes = {
      {"lossd.backend", std::string(computed.backend)},
      {"lossd.batch_requests", computed.batch_requests},
      {"lossd.batch_elements", computed.batch_elements}};
}

void TraceDropped(const batching::Task& task, CallTrace* trace) {
  if (trace == nullptr) return;
  trace->AddTask(task.enqueued, task.started, absl::InfinitePast());
}

void TraceRequest(const kernels::Segment& segment, CallTrace* trace) {
  if (trace == nullptr) return;
  trace->Add("lossd.loss", kernels::Name(segment.options.kind));
  trace->Add("lossd.dtype", Name(segment.logits.type));
  trace->Add("lossd.elements", static_cast<int64_t>(segment.element_count));
}

std::string TraceIdOf(const CallTrace* trace) {
  return trace == nullptr ? std::string()
                          : tracing::TextOf(trace->parent.trace_id);
}

}  // namespace lossd::rpc
