#include "client/cpp/session_calls.h"

#include <algorithm>
#include <limits>

#include "base/grpc_time.h"
#include "base/steady_time.h"
#include "client/cpp/call_status.h"
#include "client/cpp/message/answer_reader.h"
#include "client/cpp/stream_errors.h"

namespace lossd::client {
namespace {

// A stream without unanswered requests is closed in order, if that takes no
// longer than this. A stream whose server does not read a request that is over
// stands still for no longer.
constexpr absl::Duration kLongestStandstill = absl::Seconds(1);

// The limit of a server that has not said it.
constexpr int64_t kUnknownLimit = std::numeric_limits<int64_t>::max();

// The session whose callbacks this thread runs, or null.
thread_local const SessionCalls* thread_of = nullptr;

absl::Status Closed() { return absl::CancelledError("the session was closed"); }

}  // namespace

SessionCalls::SessionCalls(const SessionOptions& options,
                           TakeChannel take_channel, Caller caller,
                           Retries* retries)
    : wait_for_ready_(options.wait_for_ready),
      greeting_timeout_(options.greeting_timeout),
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
      pending_.EndAll(Closed());
      for (const auto& stream : streams_) EndStream(*stream);
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
      if (closed_ && live_ == 0 && streams_.empty() && !kicked_) return;
      wake_at = wake_at_;
    }
    void* tag = nullptr;
    bool ok = false;
    if (queue_.AsyncNext(&tag, &ok, GrpcTimeAfter(wake_at - SteadyNow())) ==
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
  if (call == nullptr) {
    return OnStreamTag(*static_cast<SessionStream::Tag*>(tag), ok);
  }
  call->RunCallback();
  absl::MutexLock lock(&mu_);
  --live_;
}

void SessionCalls::OnStreamTag(const SessionStream::Tag& tag, bool ok) {
  using Event = SessionStream::Event;
  SessionStream& stream = *tag.stream;
  if (tag.event == Event::kAsked) OnAsked(stream, ok);
  if (tag.event == Event::kGreeted) OnGreeted(stream, ok);
  if (tag.event == Event::kRead) OnRead(stream, ok);
  if (tag.event == Event::kFinished) OnFinished(stream);
  absl::MutexLock lock(&mu_);
  --stream.tags;
  if (tag.event == Event::kWritten) {
    stream.writing = false;
    stream.broken |= !ok;
  }
  DropIfDone(stream);
}

void SessionCalls::OnAsked(SessionStream& stream, bool ok) {
  absl::MutexLock lock(&mu_);
  stream.asked = true;
  // One server alone may take as long as its requests can wait.
  if (!ok || stream.greeted || retries_ == nullptr) return;
  LookBy(stream, SteadyNow() + greeting_timeout_);
}

void SessionCalls::OnGreeted(SessionStream& stream, bool ok) {
  if (!ok) return FinishStream(stream, absl::OkStatus());
  {
    absl::MutexLock lock(&mu_);
    stream.TakeGreeting();
    stream.greeted = true;
    ++stream.tags;
  }
  Flush();
  stream.Read();
}

void SessionCalls::OnRead(SessionStream& stream, bool ok) {
  if (!ok) return FinishStream(stream, absl::OkStatus());
  absl::StatusOr<std::vector<EntryAnswer>> answers =
      ReadAnswers(stream.TakeMessage());
  if (!answers.ok()) {
    stream.Cancel();
    return FinishStream(stream, answers.status());
  }
  {
    absl::MutexLock lock(&mu_);
    ++stream.tags;
  }
  Deliver(stream, *std::move(answers));
  // gRPC sends a frame of its own for flow control when a read begins. The
  // requests of the callbacks go first.
  Flush();
  stream.Read();
}

void SessionCalls::FinishStream(SessionStream& stream, absl::Status garbage) {
  absl::MutexLock lock(&mu_);
  if (!garbage.ok()) stream.why = std::move(garbage);
  stream.broken = true;
  ++stream.tags;
  stream.Finish();
}

void SessionCalls::Deliver(SessionStream& stream,
                           std::vector<EntryAnswer> answers) {
  Calls answered;
  answered.reserve(answers.size());
  {
    absl::MutexLock lock(&mu_);
    for (EntryAnswer& answer : answers) {
      if (retries_ != nullptr && SendsAgain(stream, answer)) continue;
      Call call = pending_.Answer(answer.id);
      if (call == nullptr) continue;
      // The places of calls and answers are the same.
      if (answered.size() != static_cast<size_t>(&answer - answers.data())) {
        answers[answered.size()] = std::move(answer);
      }
      answered.push_back(std::move(call));
    }
    wake_at_ = std::min(wake_at_, pending_.NextResume());
    if (stream.refuses) Leave(stream);
  }
  for (size_t i = 0; i < answered.size(); ++i) {
    answered[i]->Take(std::move(answers[i]));
  }
  Report(answered);
}

bool SessionCalls::SendsAgain(SessionStream& stream,
                              const EntryAnswer& answer) {
  if (answer.status.ok()) {
    retries_->Answered();
    return false;
  }
  absl::Status why = answer.status;
  if (answer.retry_delay) SetRetryAfter(*answer.retry_delay, &why);
  stream.refuses |= absl::IsUnavailable(why);
  return pending_.AnswerLater(answer.id, why);
}

void SessionCalls::Leave(SessionStream& stream) {
  stream.broken = true;
  if (&stream == stream_) stream_ = nullptr;
  if (!pending_.HasUnanswered(stream.number)) {
    CancelStream(stream, absl::OkStatus());
  }
}

void SessionCalls::OnFinished(SessionStream& stream) {
  absl::MutexLock lock(&mu_);
  stream.finished = true;
  const absl::Status status = stream.status();
  if (!stream.greeted) {
    pending_.LoseWaiting(stream.why.ok() ? NotBegun(status) : stream.why);
  }
  pending_.LoseUnanswered(stream.number,
                          stream.why.ok() ? Unanswered(status) : stream.why);
  wake_at_ = std::min(wake_at_, pending_.NextResume());
}

void SessionCalls::Expire() {
  absl::MutexLock lock(&mu_);
  if (wake_at_ == absl::InfiniteFuture()) return;
  const absl::Time now = SteadyNow();
  pending_.EndExpired(now);
  pending_.Resume(now);
  if (wake_at_ <= now) wake_at_ = absl::InfiniteFuture();
  wake_at_ =
      std::min({wake_at_, pending_.FirstDeadline(), pending_.NextResume()});
  for (const auto& stream : streams_) {
    if (stream->look_at <= now) LookAt(*stream, now);
    wake_at_ = std::min(wake_at_, stream->look_at);
  }
}

void SessionCalls::LookAt(SessionStream& stream, absl::Time now) {
  stream.look_at = absl::InfiniteFuture();
  if (closed_) return CancelStream(stream, absl::OkStatus());
  if (!stream.greeted) return CancelStream(stream, NotGreeted());
  const absl::Time since = held_.HeldSince(stream.number);
  if (since + kLongestStandstill <= now) return CancelStream(stream, NotRead());
  LookBy(stream, since + kLongestStandstill);
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
  if (std::cmp_equal(reported, calls.size())) return;
  for (const auto& stream : streams_) {
    LookBy(*stream, held_.HeldSince(stream->number) + kLongestStandstill);
  }
}

void SessionCalls::Flush() {
  SessionStream* stream;
  grpc::ByteBuffer message;
  {
    absl::MutexLock lock(&mu_);
    if (stream_ == nullptr && pending_.Waits(kUnknownLimit)) Greet();
    const bool can_write = CanWrite();
    // The server may not take some calls at all.
    if (pending_.has_ended()) Kick();
    if (!can_write) return;
    stream = stream_;
    message = pending_.NextMessage(stream->number, stream->max_message_bytes);
    stream->writing = true;
    ++stream->tags;
  }
  stream->Write(message);
}

void SessionCalls::Kick() {
  if (std::exchange(kicked_, true)) return;
  kick_alarm_.Set(&queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &kick_);
}

bool SessionCalls::CanWrite() {
  return stream_ != nullptr && stream_->is_open() && !stream_->writing &&
         pending_.HasRoom() && pending_.Waits(stream_->max_message_bytes);
}

void SessionCalls::Greet() {
  streams_.push_back(std::make_unique<SessionStream>(
      ++greetings_, take_channel_(), caller_, wait_for_ready_, &queue_));
  stream_ = streams_.back().get();
}

void SessionCalls::EndStream(SessionStream& stream) {
  const bool idle = !pending_.HasUnanswered(stream.number) && !stream.writing;
  if (!stream.is_open() || !idle) {
    return CancelStream(stream, absl::OkStatus());
  }
  ++stream.tags;
  stream.HalfClose();
  LookBy(stream, SteadyNow() + kLongestStandstill);
}

void SessionCalls::CancelStream(SessionStream& stream, absl::Status why) {
  stream.broken = true;
  stream.why = std::move(why);
  stream.Cancel();
}

void SessionCalls::LookBy(SessionStream& stream, absl::Time time) {
  stream.look_at = std::min(stream.look_at, time);
  wake_at_ = std::min(wake_at_, stream.look_at);
}

void SessionCalls::DropIfDone(SessionStream& stream) {
  if (!stream.finished || stream.tags > 0) return;
  if (&stream == stream_) stream_ = nullptr;
  std::erase_if(streams_,
                [&](const auto& other) { return other.get() == &stream; });
}

}  // namespace lossd::client
