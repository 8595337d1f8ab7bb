// Begins the traces of calls, and fills them in.
#ifndef LOSSD_SERVER_RPC_CALL_TRACING_H_
#define LOSSD_SERVER_RPC_CALL_TRACING_H_

#include <grpcpp/server_context.h>

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"
#include "server/batching/task.h"
#include "server/observability/metrics.h"
#include "server/tracing/call_trace.h"

namespace lossd::rpc {

// Returns the trace of a call whose caller has it sampled, by the metadata
// traceparent, or null. A traceparent that is invalid, or there twice, is as
// none; a tracestate that is not fit to be passed on is left out.
std::unique_ptr<tracing::CallTrace> BeginTrace(
    const grpc::ServerContext& context, observability::Method method,
    absl::Time received);

// Returns the trace of an entry of a stream; null if the stream has none.
std::unique_ptr<tracing::CallTrace> BeginEntryTrace(
    const tracing::CallTrace* stream, uint64_t id, absl::Time received);

// Each of the following does nothing without a trace.

// Adds a task that was computed, or dropped.
void TraceTask(const batching::Task& task, const batching::Computed& computed,
               tracing::CallTrace* trace);
void TraceDropped(const batching::Task& task, tracing::CallTrace* trace);

// Adds what a request asks for.
void TraceRequest(const kernels::Segment& segment, tracing::CallTrace* trace);

// Returns the trace's ID for the log; empty without a trace.
std::string TraceIdOf(const tracing::CallTrace* trace);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_CALL_TRACING_H_
