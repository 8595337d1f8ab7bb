// The calls of a session that wait, or are not answered yet.
#ifndef LOSSD_CLIENT_CPP_PENDING_CALLS_H_
#define LOSSD_CLIENT_CPP_PENDING_CALLS_H_

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/cpp/message/entry_writer.h"
#include "client/cpp/retries.h"
#include "client/cpp/session_call.h"
#include "client/cpp/session_options.h"

namespace lossd::client {

// A call waits until a message takes it, and is then unanswered until its
// answer comes or its stream ends. With several servers it may then be
// postponed, and waits again. Its outcome may be decided sooner. It is
// then over, and an unanswered one stays until its answer comes, which is
// dropped: so the bounds agree with those of the server. The unanswered calls
// of all streams of a session share the bounds.
//
// Not thread-safe.
class PendingCalls {
 public:
  using Call = std::shared_ptr<SessionCall>;
  using Calls = std::vector<Call>;

  // Without `retries`, which is borrowed, no call is sent twice.
  PendingCalls(const SessionOptions& options, Retries* retries)
      : options_(options), retries_(retries) {}

  // Lets a call wait. RESOURCE_EXHAUSTED if too many do.
  absl::Status Add(const Call& call);

  // Drops the calls in front that are over, and ends those that a server which
  // takes messages of `most_bytes` would not take. Returns whether others wait.
  bool Waits(int64_t most_bytes);

  // Returns whether more calls may be unanswered.
  bool HasRoom() const {
    return unanswered_.size() < static_cast<size_t>(options_.max_unanswered) &&
           unanswered_bytes_ < options_.max_unanswered_bytes;
  }

  // Returns a message of calls that wait, for the stream of this number, with
  // at most `most_bytes`. Requires Waits() and HasRoom().
  grpc::ByteBuffer NextMessage(uint64_t stream, int64_t most_bytes);

  // Returns whether calls are unanswered that the stream of this number has.
  bool HasUnanswered(uint64_t stream) const;

  // Ends the call to which an answer came. Returns null if it is unknown or was
  // over.
  Call Answer(uint64_t id);

  // Postpones the call whose answer is `why`, if it is to be sent again.
  // Returns whether it is.
  bool AnswerLater(uint64_t id, const absl::Status& why);

  // Lets postponed calls wait whose time has come.
  void Resume(absl::Time now);

  // Returns the time of the next postponed call, or the infinite future.
  absl::Time NextResume() const {
    return postponed_.empty() ? absl::InfiniteFuture()
                              : postponed_.begin()->first;
  }

  // End calls that are not over, for TakeEnded().
  void End(const Call& call, absl::Status why);
  void EndAll(const absl::Status& why);
  void EndExpired(absl::Time now);

  // Postpone calls that are to be sent again, and end the others: those that
  // wait, because no stream has begun, and those that a stream has not answered
  // before its end.
  void LoseWaiting(const absl::Status& why);
  void LoseUnanswered(uint64_t stream, const absl::Status& why);

  // Returns the calls that the functions above have ended since the last time.
  Calls TakeEnded() { return std::exchange(ended_, {}); }
  bool has_ended() const { return !ended_.empty(); }

  // Returns the first deadline, or the infinite future.
  absl::Time FirstDeadline() const {
    return deadlines_.empty() ? absl::InfiniteFuture()
                              : deadlines_.begin()->first.first;
  }

 private:
  // Decides the outcome. Returns false if it is decided already.
  bool Decide(SessionCall* call);
  // Returns whether the call in front may join a message.
  bool Fits(const EntryWriter& message, int64_t most_bytes) const;

  // Postpones a call that has failed, if it is to be sent again. Returns
  // whether it is. `sent` says whether a stream had it.
  bool Postpone(const Call& call, const absl::Status& why, bool sent);

  const SessionOptions options_;
  Retries* const retries_;  // null if no call is sent twice
  uint64_t next_id_ = 1;
  std::deque<Call> waiting_;
  absl::flat_hash_map<uint64_t, Call> unanswered_;  // by id
  int64_t unanswered_bytes_ = 0;
  // The calls with a deadline, by it and by id, that are not over.
  absl::btree_map<std::pair<absl::Time, uint64_t>, Call> deadlines_;
  // The calls that wait to be sent again, by the time for that.
  absl::btree_multimap<absl::Time, Call> postponed_;
  Calls ended_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_PENDING_CALLS_H_
