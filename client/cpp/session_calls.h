// The calls of a session, and the thread that serves its stream.
#ifndef LOSSD_CLIENT_CPP_SESSION_CALLS_H_
#define LOSSD_CLIENT_CPP_SESSION_CALLS_H_

#include <grpcpp/alarm.h>
#include <grpcpp/channel.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/cpp/held_calls.h"
#include "client/cpp/message/answer_reader.h"
#include "client/cpp/pending_calls.h"
#include "client/cpp/session_call.h"
#include "client/cpp/session_options.h"
#include "client/cpp/session_stream.h"

namespace lossd::client {

// Requests wait until no write is under way, then go together in one message:
//
//   Add() -> waits -> Write -> unanswered -> Read -> callback
//
// Nothing waits so that a message gets fuller. The stream is always read from,
// so it never stands still but while a callback runs.
//
// A stream begins with a greeting, and gets no call before the server has
// answered it. Without a server all calls that wait fail. A stream that ends
// fails the calls it had been given, or with several servers postpones them
// until they are sent again. Calls that still wait open the next one,
// through the next connection of the client in turn.
//
// Thread-safe.
class SessionCalls final : public SessionCallOwner {
 public:
  using TakeChannel = std::function<std::shared_ptr<grpc::Channel>()>;

  // `take_channel` must be thread-safe.
  // `retries`, which is borrowed, says what is sent again to another server;
  // null is for one server alone.
  SessionCalls(const SessionOptions& options, TakeChannel take_channel,
               Caller caller, Retries* retries);
  ~SessionCalls() override { Close(); }

  SessionCalls(const SessionCalls&) = delete;
  SessionCalls& operator=(const SessionCalls&) = delete;

  // Takes a call, whose callback will run exactly once, on the session's
  // thread. Errors: RESOURCE_EXHAUSTED if too many wait, CANCELLED after
  // Close(); the call is then not taken.
  absl::Status Add(const std::shared_ptr<SessionCall>& call);

  // Runs the callback of a call that was not taken, with `why`: at once, or
  // after the callbacks that run now if this is the session's thread.
  void Refuse(const std::shared_ptr<SessionCall>& call, absl::Status why);

  // Ends a call as CANCELLED, unless it is over.
  void Cancel(SessionCall* call) override;

  // Ends all calls as CANCELLED and returns when every callback has run. Must
  // not run in a callback.
  void Close();

 private:
  using Call = PendingCalls::Call;
  using Calls = PendingCalls::Calls;
  // The address of a Tag is the tag of one kind of event.
  struct Tag {};

  void Run();
  void OnTag(void* tag, bool ok);
  void OnStreamTag(void* tag, bool ok);
  // Lets the calls that wait go out, or fails them without a server.
  void OnGreeted();
  void OnRead(bool ok);
  void OnFinished();
  // Reads no more and asks for the status.
  void FinishStream(absl::Status garbage);
  void Deliver(std::vector<EntryAnswer> answers);
  // Counts an answer for the budget, and postpones its call if that is to be
  // sent again. Returns whether it is.
  bool SendsAgain(const EntryAnswer& answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets Expire() see to the calls that were postponed, and leaves a server
  // that takes no more requests once it owes no answer.
  void SeeToPostponed() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends the calls whose deadline has passed, and a stream that is not read.
  void Expire();
  void LookAtStream(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Runs the callbacks of calls that are over without an answer.
  void ReportEnded();
  // Runs the callback of each call, or lets it run when its tensors are free.
  void Report(const Calls& calls);
  // Writes what waits, unless a write or a greeting is under way.
  void Flush();
  // Wakes the thread.
  void Kick() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Returns whether something waits that may be written now.
  bool CanWrite() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Begins the next stream.
  void Greet() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Cancels the stream, for a reason that its calls get if it is not OK.
  void CancelStream(absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets Expire() look at the stream then, at the latest.
  void LookBy(absl::Time time) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Destroys a stream that has ended and whose every tag has come.
  void DropStreamIfDone() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // --- constant ---
  const bool wait_for_ready_;
  const TakeChannel take_channel_;
  const Caller caller_;
  Retries* const retries_;  // thread-safe; null with one server
  Tag greeted_, read_, written_, half_closed_, finished_, kick_;

  grpc::CompletionQueue queue_;  // thread-safe
  absl::once_flag closed_once_;

  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  int64_t live_ ABSL_GUARDED_BY(mu_) = 0;  // calls whose callback has not run
  PendingCalls pending_ ABSL_GUARDED_BY(mu_);
  // Calls that were refused, whose callbacks the thread runs.
  Calls refused_ ABSL_GUARDED_BY(mu_);
  grpc::Alarm kick_alarm_ ABSL_GUARDED_BY(mu_);
  bool kicked_ ABSL_GUARDED_BY(mu_) = false;
  // The thread wakes by itself then, at the latest. It is not put off when a
  // call ends, so that the next one rarely has to bring it forward.
  absl::Time wake_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();

  // --- the stream, or null, and what is under way on it ---
  struct StreamState {
    int tags = 0;          // that have yet to come
    bool greeted = false;  // calls may be given to the stream
    bool open = false;     // a call has been
    bool writing = false;
    bool broken = false;    // no write may start
    bool refuses = false;   // the server takes no more requests
    bool finished = false;  // nothing comes but the tags
    absl::Status why;       // of the end, if the stream's status is not it
    // The time at which to see whether the stream stands still.
    absl::Time look_at = absl::InfiniteFuture();
  };
  std::unique_ptr<SessionStream> stream_ ABSL_GUARDED_BY(mu_);
  StreamState state_ ABSL_GUARDED_BY(mu_);
  uint64_t streams_ ABSL_GUARDED_BY(mu_) = 0;  // until now

  HeldCalls held_;  // the thread alone uses this

  // The thread is last because it uses the other members.
  std::thread thread_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_CALLS_H_
