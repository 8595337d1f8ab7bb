// A trace of a call for tests.
#ifndef LOSSD_TESTS_SERVER_TRACING_SOME_TRACE_H_
#define LOSSD_TESTS_SERVER_TRACING_SOME_TRACE_H_

#include <memory>

#include "absl/time/time.h"
#include "server/tracing/call_trace.h"

namespace lossd::tracing {

// Returns the time that many milliseconds after the call has arrived.
inline absl::Time After(int64_t milliseconds) {
  return absl::FromUnixSeconds(1000) + absl::Milliseconds(milliseconds);
}

// Returns the trace of a call that has just arrived.
inline std::unique_ptr<CallTrace> SomeTrace() {
  auto trace = std::make_unique<CallTrace>();
  trace->parent = *ParseTraceparent(
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  trace->span_id = NewSpanId();
  trace->name = "lossd.v1.LossService/ComputeLoss";
  trace->method = "ComputeLoss";
  trace->received = After(0);
  return trace;
}

// Returns the trace of a call that was computed, which has five spans.
inline std::unique_ptr<CallTrace> EndedTrace() {
  std::unique_ptr<CallTrace> trace = SomeTrace();
  trace->AddTask(After(1), After(3), After(7));
  trace->NoteAnswer(After(8));
  trace->End(After(15), absl::StatusCode::kOk, "");
  return trace;
}

}  // namespace lossd::tracing

#endif  // LOSSD_TESTS_SERVER_TRACING_SOME_TRACE_H_
