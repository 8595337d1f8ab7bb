// The trace that a caller's span belongs to, as callers write it (W3C Trace
// Context, https://www.w3.org/TR/trace-context/).
#ifndef LOSSD_BASE_TRACE_CONTEXT_H_
#define LOSSD_BASE_TRACE_CONTEXT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lossd::tracing {

using TraceId = std::array<char, 16>;
using SpanId = std::array<char, 8>;

struct TraceContext {
  TraceId trace_id{};
  SpanId span_id{};  // of the caller's span
  uint8_t flags = 0;
  std::string state;  // the tracestate, as it came; empty if there is none

  // Returns whether the caller records the trace, and wants us to.
  bool sampled() const { return (flags & 1) != 0; }
};

// Returns what the value of a traceparent says, with an empty `state`, or
// nothing if W3C's rules make it invalid. Versions after 00 are read as far as
// 00 defines them.
std::optional<TraceContext> ParseTraceparent(absl::string_view value);

// Returns false if the value of a traceparent, valid or not, is not of a
// sampled trace. Looks at one character, so that most calls pay for no more.
bool MayBeSampled(absl::string_view value);

// W3C asks everybody to pass on this much.
inline constexpr size_t kMaxTracestateBytes = 512;

// Returns whether the value of a tracestate can be passed on: it has at most
// kMaxTracestateBytes, all of them printable ASCII. Its members are not read.
bool IsTracestate(absl::string_view value);

// Returns the ID as 32 hexadecimal digits.
std::string TextOf(const TraceId& id);

}  // namespace lossd::tracing

#endif  // LOSSD_BASE_TRACE_CONTEXT_H_
