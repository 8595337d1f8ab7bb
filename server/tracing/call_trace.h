// The record of a sampled call.
#ifndef LOSSD_SERVER_TRACING_CALL_TRACE_H_
#define LOSSD_SERVER_TRACING_CALL_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/trace_context.h"

namespace lossd::tracing {

struct Attribute {
  std::string_view key;  // a constant of the program
  std::variant<int64_t, std::string> value;
};
using Attributes = std::vector<Attribute>;

// A longer text is cut to this many bytes before it becomes an attribute,
// because clients choose some of them.
inline constexpr size_t kMaxTextBytes = 256;

// Becomes the span of a call, or of an entry of a stream, and a span for each
// stage that it has reached. The stages follow each other:
//
//   receive   from the arrival until the first task is given to the batcher
//   queue     until an executor takes that task
//   compute   until the last block of the last task is computed
//   reply     until gRPC has sent the answer
//
// A call that fails is replied to from the stage that it is in. Not
// thread-safe; used by whoever has the call.
struct CallTrace {
  // --- constant once the call has arrived ---
  TraceContext parent;     // sampled()
  bool is_call = true;     // false for an entry, whose parent is our own span
  bool has_stages = true;  // false for a stream of entries, which have them
  SpanId span_id{};
  std::string_view name;    // a constant of the program
  std::string_view method;  // of the service, such as "ComputeLoss"
  absl::Time received;

  // --- as the call goes on ---
  absl::Time enqueued = absl::InfiniteFuture();  // the first task
  absl::Time started = absl::InfiniteFuture();   // the first task
  absl::Time computed = absl::InfinitePast();    // the last task
  absl::Time answered = absl::InfiniteFuture();  // the answer was decided
  Attributes attributes;
  Attributes compute_attributes;

  // --- set by End() ---
  absl::Time ended;
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string reason;  // the message of an answer that is an error

  // Adds the times of a task. `task_started` is absl::Time() for a task that
  // was dropped from the queue, and `finished` the infinite past for one that
  // was not computed.
  void AddTask(absl::Time task_enqueued, absl::Time task_started,
               absl::Time finished);
  // Notes that the answer is decided, unless it was before.
  void NoteAnswer(absl::Time now);
  void End(absl::Time now, absl::StatusCode with, std::string_view message);

  // Add an attribute of the call. An empty text is left out.
  void Add(std::string_view key, int64_t value);
  void Add(std::string_view key, std::string_view text);

  // Returns how many spans the trace becomes.
  int64_t span_count() const;
};

// Returns an ID that no other span has, at random. Thread-safe.
SpanId NewSpanId();

}  // namespace lossd::tracing

#endif  // LOSSD_SERVER_TRACING_CALL_TRACE_H_
