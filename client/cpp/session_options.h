// The bounds of a session.
#ifndef LOSSD_CLIENT_CPP_SESSION_OPTIONS_H_
#define LOSSD_CLIENT_CPP_SESSION_OPTIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lossd::client {

struct SessionOptions {
  // Requests that are sent and not answered yet, and their bytes. Others wait
  // in the session. The server reads no further at 1,024 requests or 64 MiB of
  // requests and answers, so larger values gain nothing.
  int max_unanswered = 1000;
  int64_t max_unanswered_bytes = int64_t{32} << 20;
  // Requests that wait to be sent. One more is RESOURCE_EXHAUSTED at once.
  int max_waiting = 65536;
  // Requests in one message, at most 16,384, and its bytes unless one request
  // has more. A message has what waits when it is made, and waits for nothing.
  // It never has more bytes than the server says that it takes.
  int max_message_entries = 256;
  int64_t max_message_bytes = int64_t{1} << 20;
  // A request that sends more bytes of tensors, or a message of more bytes that
  // exists already, is not put into the stream, where it would hold up the
  // others, but is a call of its own.
  int64_t own_call_above_bytes = int64_t{4} << 20;
  // Without a connection, requests wait for one until their deadlines instead
  // of failing.
  bool wait_for_ready = false;
  // With several servers, one that accepts a stream and has not begun to answer
  // it within this time is left for another one.
  absl::Duration greeting_timeout = absl::Seconds(5);
};

// Returns INVALID_ARGUMENT, beginning with the field's name, for a bound below
// 1 or above the most that it may be, and for a time that is not above 0.
absl::Status CheckSessionOptions(const SessionOptions& options);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_OPTIONS_H_
