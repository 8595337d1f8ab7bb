// The calls of a session, and the thread that serves its stream.
#ifndef LOSSD_CLIENT_CPP_SESSION_CALLS_H_
#define LOSSD_CLIENT_CPP_SESSION_CALLS_H_

#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cpp/session_call.h"
#include "client/cpp/session_options.h"
#include "client/cpp/session_stream.h"

namespace lossd::client {

// Requests wait until no write is under way, then go together in one message:
//
//   Add() -> waiting_ -> Write -> unanswered_ -> Read -> callback
//
// Nothing waits so that a message gets fuller. The stream is always read from,
// so it never stands still but while a callback runs.
//
// A stream that ends fails the calls it had been given. Calls that still wait
// open the next one, through the next connection of the client in turn.
//
// Thread-safe.
class SessionCalls final : public SessionCallOwner {
 public:
  using TakeChannel = std::function<std::shared_ptr<grpc::Channel>()>;

  // `take_channel` must be thread-safe.
  SessionCalls(const SessionOptions& options, TakeChannel take_channel,
               std::string token);
  ~SessionCalls() override { Close(); }

  SessionCalls(const SessionCalls&) = delete;
  SessionCalls& operator=(const SessionCalls&) = delete;

  // Takes a call, whose callback will run exactly once, on the session's
  // thread. Errors: RESOURCE_EXHAUSTED if too many wait, CANCELLED after
  // Close(); the call is then not taken.
  absl::Status Add(const std::shared_ptr<SessionCall>& call);

  // Ends a call as CANCELLED, unless it is over.
  void Cancel(SessionCall* call) override;

  // Ends all calls as CANCELLED and returns when every callback has run. Must
  // not run in a callback.
  void Close();

 private:
  using Call = std::shared_ptr<SessionCall>;
  using Calls = std::vector<Call>;
  // The address of a Tag is the tag of one kind of event.
  struct Tag {};

  void Run();
  void OnTag(void* tag, bool ok);
  void OnRead(bool ok);
  void OnFinished();
  void OnFree(void* call);
  // Reads no more and asks for the status.
  void FinishStream(absl::Status garbage);
  void Deliver(std::vector<EntryAnswer> answers);
  // Ends the calls whose deadline has passed, and a stream that does not close.
  void Expire();
  // Runs the callbacks of calls that Cancel(), Close() and Expire() ended.
  void ReportEnded();
  // Runs the callback of each call, or lets it run when its tensors are free.
  void Report(const Calls& calls);
  // Writes what waits, unless a write is under way.
  void Flush();
  // Wakes the thread.
  void Kick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Returns the message of what waits, and counts it as being written.
  // Something must wait.
  grpc::ByteBuffer NextMessage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool CanWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Decides the call's outcome. Returns false if it is decided already.
  bool End(SessionCall* call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndAs(const Call& call, absl::Status why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OpenStream() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Destroys a stream that has ended and whose every tag has come.
  void DropStreamIfDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // --- constant ---
  const SessionOptions options_;
  const TakeChannel take_channel_;
  const std::string token_;
  Tag read_, written_, half_closed_, finished_, kick_;

  grpc::CompletionQueue queue_;  // thread-safe
  absl::once_flag closed_once_;

  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t next_id_ ABSL_GUARDED_BY(mu_) = 1;
  int64_t live_ ABSL_GUARDED_BY(mu_) = 0;  // calls whose callback has not run
  std::deque<Call> waiting_ ABSL_GUARDED_BY(mu_);
  // Calls whose outcome is decided, and not by an answer.
  Calls ended_ ABSL_GUARDED_BY(mu_);
  // The calls with a deadline, by it and by id, that are not over.
  absl::btree_map<std::pair<absl::Time, uint64_t>, Call> deadlines_
      ABSL_GUARDED_BY(mu_);
  grpc::Alarm kick_alarm_ ABSL_GUARDED_BY(mu_);
  bool kicked_ ABSL_GUARDED_BY(mu_) = false;
  // The thread wakes by itself then, at the latest. It is not put off when a
  // call ends, so that the next one rarely has to bring it forward.
  absl::Time wake_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();

  // --- the stream, or null, and what is under way on it ---
  std::unique_ptr<SessionStream> stream_ ABSL_GUARDED_BY(mu_);
  // By id. Calls that are over stay until their answer comes, which is dropped.
  absl::flat_hash_map<uint64_t, Call> unanswered_ ABSL_GUARDED_BY(mu_);
  int64_t unanswered_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int tags_ ABSL_GUARDED_BY(mu_) = 0;  // that have yet to come
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool broken_ ABSL_GUARDED_BY(mu_) = false;  // no write may start
  bool finished_stream_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status garbage_ ABSL_GUARDED_BY(mu_);  // the server's message was wrong
  // The time at which a stream that closes is cancelled.
  absl::Time cancel_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();

  // Calls that are over, while gRPC holds their tensors. The thread alone uses
  // this.
  absl::flat_hash_map<void*, Call> returning_;

  // The thread is last because it uses the other members.
  std::thread thread_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_CALLS_H_
