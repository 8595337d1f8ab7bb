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
// fails the calls it had been given. Calls that still wait open the next one,
// through the next connection of the client in turn. With several servers,
// calls that would fail are postponed and sent again where that may help; and a
// stream whose server takes no more requests is left for the next one at once,
// while its answers are still awaited.
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
  struct Tag {};

  void Run();
  void OnTag(void* tag, bool ok);
  void OnStreamTag(const SessionStream::Tag& tag, bool ok);
  // Gives the server its time to answer the greeting.
  void OnAsked(SessionStream& stream, bool ok);
  // Lets the calls that wait go out.
  void OnGreeted(SessionStream& stream, bool ok);
  void OnRead(SessionStream& stream, bool ok);
  void OnFinished(SessionStream& stream);
  // Reads no more and asks for the status.
  void FinishStream(SessionStream& stream, absl::Status garbage);
  void Deliver(SessionStream& stream, std::vector<EntryAnswer> answers);
  // Counts an answer for the budget, and postpones its call if that is to be
  // sent again. Returns whether it is.
  bool SendsAgain(SessionStream& stream, const EntryAnswer& answer)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Leaves a stream whose server takes no more requests, and ends it once it
  // owes no answer.
  void Leave(SessionStream& stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Ends the calls whose deadline has passed, and streams that stand still.
  void Expire();
  void LookAt(SessionStream& stream, absl::Time now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
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
  // Ends a stream of a session that closes: in order, if nothing is under way.
  void EndStream(SessionStream& stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Cancels a stream, for a reason that its calls get if it is not OK.
  void CancelStream(SessionStream& stream, absl::Status why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Lets Expire() look at the stream then, at the latest.
  void LookBy(SessionStream& stream, absl::Time time)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Destroys a stream that has ended and whose every tag has come.
  void DropIfDone(SessionStream& stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // --- constant ---
  const bool wait_for_ready_;
  const absl::Duration greeting_timeout_;
  const TakeChannel take_channel_;
  const Caller caller_;
  Retries* const retries_;  // thread-safe; null with one server
  Tag kick_;                // its address is the tag of kick_alarm_

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

  std::vector<std::unique_ptr<SessionStream>> streams_ ABSL_GUARDED_BY(mu_);
  // The one of them that takes calls, or null.
  SessionStream* stream_ ABSL_GUARDED_BY(mu_) = nullptr;
  uint64_t greetings_ ABSL_GUARDED_BY(mu_) = 0;  // until now

  HeldCalls held_;  // the thread alone uses this

  // The thread is last because it uses the other members.
  std::thread thread_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_CALLS_H_
