#include "server/tracing/call_trace.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/random/random.h"

namespace lossd::tracing {
namespace {

// The text goes into a message of protobuf, which takes nothing but UTF-8, and
// may be cut in the middle of a character.
std::string FitFor(std::string_view text) {
  std::string fit(text.substr(0, kMaxTextBytes));
  for (char& c : fit) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte > 0x7e) c = '?';
  }
  return fit;
}

}  // namespace

void CallTrace::AddTask(absl::Time task_enqueued, absl::Time task_started,
                        absl::Time finished) {
  enqueued = std::min(enqueued, task_enqueued);
  if (task_started != absl::Time()) started = std::min(started, task_started);
  computed = std::max(computed, finished);
}

void CallTrace::NoteAnswer(absl::Time now) {
  answered = std::min(answered, now);
}

void CallTrace::End(absl::Time now, absl::StatusCode with,
                    std::string_view message) {
  ended = now;
  code = with;
  reason = FitFor(message);
}

void CallTrace::Add(std::string_view key, int64_t value) {
  attributes.push_back({key, value});
}

void CallTrace::Add(std::string_view key, std::string_view text) {
  if (!text.empty()) attributes.push_back({key, FitFor(text)});
}

int64_t CallTrace::span_count() const {
  if (!has_stages) return 1;
  constexpr int64_t kAlways = 3;  // the call, receive and reply
  return kAlways + (enqueued != absl::InfiniteFuture() ? 1 : 0) +
         (started != absl::InfiniteFuture() ? 1 : 0);
}

SpanId NewSpanId() {
  thread_local absl::InsecureBitGen random;
  const auto number =
      absl::Uniform<uint64_t>(random, 1, std::numeric_limits<uint64_t>::max());
  SpanId id;
  std::memcpy(id.data(), &number, sizeof number);
  return id;
}

}  // namespace lossd::tracing
