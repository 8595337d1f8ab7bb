#include "client/cpp/session_calls.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/call_status.h"
#include "client/cpp/message/answer_reader.h"

namespace lossd::client {
namespace {

// A stream without unanswered requests is closed in order, if that takes no
// longer than this. A stream whose server does not read a request that is over
// stands still for no longer.
constexpr absl::Duration kLongestStandstill = absl::Seconds(1);

// The limit of a server that has not said it.
constexpr int64_t kUnknownLimit = std::numeric_limits<int64_t>::max();

// Returns the error of calls whose stream ended as `status` says.
absl::Status Unanswered(const absl::Status& status) {
  // Nobody here has cancelled the stream or given it a deadline, so a proxy or
  // the server did.
  const bool lost = status.ok() || absl::IsCancelled(status) ||
                    absl::IsDeadlineExceeded(status) ||
                    absl::IsUnavailable(status);
  if (!lost) return status;
  return absl::UnavailableError(absl::StrCat(
      "the stream ended before the answer came; the request may have been "
      "computed, and may be sent again",
      status.message().empty() ? "" : ": ", status.message()));
}

// The session whose callbacks this thread runs, or null.
thread_local const SessionCalls* thread_of = nullptr;

absl::Status NotRead() {
  return absl::UnavailableError(
      "the stream was ended because the server does not read it; the request "
      "may have been computed, and may be sent again");
}

absl::Status Closed() { return absl::CancelledError("the session was closed"); }

}  // namespace

SessionCalls::SessionCalls(const SessionOptions& options,
                           TakeChannel take_channel, Caller caller,
                           Retries* retries)
    : wait_for_ready_(options.wait_for_ready),
      take_channel_(std::move(take_channel)),
      caller_(std::move(caller)),
      retries_(retries),
      pending_(options, retries),
      held_(&queue_),
      thread_([this] { Run(); }) {}

absl::Status SessionCalls::Add(const Call& call) {
  const bool on_thread = thread_of == this;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return Closed();
    if (absl::Status s = pending_.Add(call); !s.ok()) return s;
    ++live_;
    if (call->deadline < wake_at_) {
      wake_at_ = call->deadline;
      if (!on_thread) Kick();
    }
  }
  // Requests that callbacks add go out when all callbacks of their message have
  // run.
  if (!on_thread) Flush();
  return absl::OkStatus();
}

void SessionCalls::Refuse(const Call& call, absl::Status why) {
  call->Detach();
  call->request = {};
  call->Fail(std::move(why));
  // A callback of the session's thread that starts the next request is not
  // called in itself, and the stream goes on in between.
  if (thread_of != this) return call->RunCallback();
  absl::MutexLock lock(&mu_);
  ++live_;
  refused_.push_back(call);
  Kick();
}

void SessionCalls::Cancel(SessionCall* call) {
  absl::MutexLock lock(&mu_);
  pending_.End(call->shared_from_this(),
               absl::CancelledError("the request was cancelled"));
  Kick();
}

void SessionCalls::Close() {
  absl::call_once(closed_once_, [this] {
    {
      absl::MutexLock lock(&mu_);
      closed_ = true;
      pending_.EndWaiting(Closed());
      pending_.EndPostponed(Closed());
      pending_.EndUnanswered(Closed());
      const bool idle = !pending_.has_unanswered() && !state_.writing;
      if (state_.open && idle && !state_.broken) {
        ++state_.tags;
        stream_->HalfClose();
        LookBy(absl::Now() + kLongestStandstill);
      } else if (stream_ != nullptr) {
        CancelStream(absl::OkStatus());
        state_.finished |= state_.greeted && !state_.open;
        DropStreamIfDone();
      }
      Kick();
    }
    thread_.join();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {  // a queue is drained before it goes
    }
  });
}

void SessionCalls::Run() {
  thread_of = this;
  for (;;) {
    absl::Time wake_at;
    {
      absl::MutexLock lock(&mu_);
      if (closed_ && live_ == 0 && stream_ == nullptr && !kicked_) return;
      wake_at = wake_at_;
    }
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, absl::ToChronoTime(wake_at)) ==
        grpc::CompletionQueue::GOT_EVENT) {
      OnTag(tag, ok);
    }
    Expire();
    ReportEnded();
    Flush();
  }
}

void SessionCalls::OnTag(void* tag, bool ok) {
  if (tag == &kick_) {
    absl::MutexLock lock(&mu_);
    kicked_ = false;
    return;
  }
  const Call call = held_.Take(tag);
  if (call == nullptr) return OnStreamTag(tag, ok);
  call->RunCallback();
  absl::MutexLock lock(&mu_);
  --live_;
}

void SessionCalls::OnStreamTag(void* tag, bool ok) {
  if (tag == &greeted_) OnGreeted();
  if (tag == &read_) OnRead(ok);
  if (tag == &finished_) OnFinished();
  absl::MutexLock lock(&mu_);
  --state_.tags;
  if (tag == &written_) {
    state_.writing = false;
    state_.broken |= !ok;
  }
  DropStreamIfDone();
}

void SessionCalls::OnGreeted() {
  absl::MutexLock lock(&mu_);
  absl::Status status = stream_->TakeGreeting();
  if (!status.ok()) pending_.EndWaiting(status);
  state_.greeted = status.ok() && !closed_;
  state_.finished = !state_.greeted;
}

void SessionCalls::OnRead(bool ok) {
  SessionStream* stream;
  {
    absl::MutexLock lock(&mu_);
    stream = stream_.get();
  }
  if (!ok) return FinishStream(absl::OkStatus());
  absl::StatusOr<std::vector<EntryAnswer>> answers =
      ReadAnswers(stream->TakeMessage());
  if (!answers.ok()) {
    stream->Cancel();
    return FinishStream(answers.status());
  }
  {
    absl::MutexLock lock(&mu_);
    ++state_.tags;
  }
  Deliver(*std::move(answers));
  // gRPC sends a frame of its own for flow control when a read begins. The
  // requests of the callbacks go first.
  Flush();
  stream->Read();
}

void SessionCalls::FinishStream(absl::Status garbage) {
  absl::MutexLock lock(&mu_);
  if (!garbage.ok()) state_.why = std::move(garbage);
  state_.broken = true;
  ++state_.tags;
  stream_->Finish();
}

void SessionCalls::Deliver(std::vector<EntryAnswer> answers) {
  Calls answered;
  answered.reserve(answers.size());
  {
    absl::MutexLock lock(&mu_);
    for (EntryAnswer& answer : answers) {
      if (retries_ != nullptr && SendsAgain(answer)) continue;
      Call call = pending_.Answer(answer.id);
      if (call == nullptr) continue;
      // The places of calls and answers are the same.
      if (answered.size() != static_cast<size_t>(&answer - answers.data())) {
        answers[answered.size()] = std::move(answer);
      }
      answered.push_back(std::move(call));
    }
    SeeToPostponed();
  }
  for (size_t i = 0; i < answered.size(); ++i) {
    answered[i]->Take(std::move(answers[i]));
  }
  Report(answered);
}

bool SessionCalls::SendsAgain(const EntryAnswer& answer) {
  if (answer.status.ok()) {
    retries_->Answered();
    return false;
  }
  absl::Status why = answer.status;
  if (answer.retry_delay) SetRetryAfter(*answer.retry_delay, &why);
  state_.refuses |= absl::IsUnavailable(why);
  return pending_.AnswerLater(answer.id, why);
}

void SessionCalls::SeeToPostponed() {
  wake_at_ = std::min(wake_at_, pending_.NextResume());
  if (!state_.refuses) return;
  state_.broken = true;
  if (!pending_.has_unanswered()) CancelStream(absl::OkStatus());
}

void SessionCalls::OnFinished() {
  absl::MutexLock lock(&mu_);
  state_.finished = true;
  const absl::Status why =
      state_.why.ok() ? Unanswered(stream_->status()) : state_.why;
  pending_.EndUnanswered(why);
  pending_.ForgetUnanswered();
  wake_at_ = std::min(wake_at_, pending_.NextResume());
}

void SessionCalls::Expire() {
  absl::MutexLock lock(&mu_);
  if (wake_at_ == absl::InfiniteFuture()) return;
  const absl::Time now = absl::Now();
  pending_.EndExpired(now);
  pending_.Resume(now);
  if (state_.look_at <= now) LookAtStream(now);
  if (wake_at_ <= now) wake_at_ = absl::InfiniteFuture();
  wake_at_ = std::min({wake_at_, pending_.FirstDeadline(),
                       pending_.NextResume(), state_.look_at});
}

void SessionCalls::LookAtStream(absl::Time now) {
  state_.look_at = absl::InfiniteFuture();
  if (stream_ == nullptr) return;
  if (closed_) return CancelStream(absl::OkStatus());
  const absl::Time since = held_.HeldSince(streams_);
  if (since + kLongestStandstill <= now) return CancelStream(NotRead());
  LookBy(since + kLongestStandstill);
}

void SessionCalls::ReportEnded() {
  Calls ended;
  {
    absl::MutexLock lock(&mu_);
    ended = pending_.TakeEnded();
    ended.insert(ended.end(), refused_.begin(), refused_.end());
    refused_.clear();
  }
  if (!ended.empty()) Report(ended);
}

void SessionCalls::Report(const Calls& calls) {
  int64_t reported = 0;
  for (const Call& call : calls) {
    call->Detach();
    if (held_.Hold(call)) continue;
    call->RunCallback();
    ++reported;
  }
  absl::MutexLock lock(&mu_);
  live_ -= reported;
  if (std::cmp_less(reported, calls.size())) {
    LookBy(absl::Now() + kLongestStandstill);
  }
}

void SessionCalls::Flush() {
  SessionStream* stream;
  grpc::ByteBuffer message;
  bool opens;
  {
    absl::MutexLock lock(&mu_);
    if (stream_ == nullptr && pending_.Waits(kUnknownLimit)) Greet();
    const bool can_write = CanWrite();
    // The server may not take some calls at all.
    if (pending_.has_ended()) Kick();
    if (!can_write) return;
    stream = stream_.get();
    opens = !std::exchange(state_.open, true);
    if (opens) {
      stream->Open();
      ++state_.tags;  // of the first read
    }
    message = pending_.NextMessage(streams_, stream->max_message_bytes());
    state_.writing = true;
    ++state_.tags;
  }
  stream->Write(message);
  if (opens) stream->Read();
}

void SessionCalls::Kick() {
  if (std::exchange(kicked_, true)) return;
  kick_alarm_.Set(&queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &kick_);
}

bool SessionCalls::CanWrite() {
  return state_.greeted && !state_.writing && !state_.broken &&
         pending_.HasRoom() && pending_.Waits(stream_->max_message_bytes());
}

void SessionCalls::Greet() {
  ++streams_;
  ++state_.tags;
  stream_ = std::make_unique<SessionStream>(
      take_channel_(), caller_, wait_for_ready_, &queue_,
      SessionStream::Tags{&greeted_, &read_, &written_, &half_closed_,
                          &finished_});
}

void SessionCalls::CancelStream(absl::Status why) {
  state_.broken = true;
  state_.why = std::move(why);
  stream_->Cancel();
}

void SessionCalls::LookBy(absl::Time time) {
  state_.look_at = std::min(state_.look_at, time);
  wake_at_ = std::min(wake_at_, state_.look_at);
}

void SessionCalls::DropStreamIfDone() {
  if (!state_.finished || state_.tags > 0) return;
  stream_ = nullptr;
  state_ = {};
}

}  // namespace lossd::client
