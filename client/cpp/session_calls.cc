#include "client/cpp/session_calls.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/message/answer_reader.h"
#include "client/cpp/message/entry_writer.h"

namespace lossd::client {
namespace {

// A stream without unanswered requests is closed in order, if that takes no
// longer than this.
constexpr absl::Duration kLongestClose = absl::Seconds(1);

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

absl::Status Closed() { return absl::CancelledError("the session was closed"); }

}  // namespace

SessionCalls::SessionCalls(const SessionOptions& options,
                           TakeChannel take_channel, std::string token)
    : options_(options),
      take_channel_(std::move(take_channel)),
      token_(std::move(token)),
      thread_([this] { Run(); }) {}

absl::Status SessionCalls::Add(const Call& call) {
  const bool on_thread = thread_of == this;
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return Closed();
    const auto bound = static_cast<size_t>(options_.max_waiting);
    if (waiting_.size() >= bound) {
      std::erase_if(waiting_, [](const Call& other) { return other->over; });
    }
    if (waiting_.size() >= bound) {
      return absl::ResourceExhaustedError(
          absl::StrCat(waiting_.size(),
                       " requests of the session wait to be sent "
                       "(SessionOptions::max_waiting)"));
    }
    call->id = next_id_++;
    ++live_;
    waiting_.push_back(call);
    if (call->deadline != absl::InfiniteFuture()) {
      deadlines_.emplace(std::pair(call->deadline, call->id), call);
      if (call->deadline < wake_at_) {
        wake_at_ = call->deadline;
        if (!on_thread) Kick();
      }
    }
  }
  // Requests that callbacks add go out when all callbacks of their message have
  // run.
  if (!on_thread) Flush();
  return absl::OkStatus();
}

void SessionCalls::Cancel(SessionCall* call) {
  absl::MutexLock lock(&mu_);
  if (call->over) return;
  EndAs(call->shared_from_this(),
        absl::CancelledError("the request was cancelled"));
  Kick();
}

void SessionCalls::Close() {
  absl::call_once(closed_once_, [this] {
    {
      absl::MutexLock lock(&mu_);
      closed_ = true;
      const bool idle = unanswered_.empty() && !writing_;
      for (const Call& call : waiting_) EndAs(call, Closed());
      waiting_.clear();
      for (const auto& [id, call] : unanswered_) EndAs(call, Closed());
      if (stream_ != nullptr && idle && !broken_) {
        ++tags_;
        stream_->HalfClose();
        cancel_at_ = absl::Now() + kLongestClose;
      } else if (stream_ != nullptr) {
        stream_->Cancel();
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
  if (const auto found = returning_.find(tag); found != returning_.end()) {
    return OnFree(tag);
  }
  if (tag == &read_) OnRead(ok);
  if (tag == &finished_) OnFinished();
  absl::MutexLock lock(&mu_);
  --tags_;
  if (tag == &written_) {
    writing_ = false;
    broken_ |= !ok;
  }
  DropStreamIfDone();
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
    ++tags_;
  }
  Deliver(*std::move(answers));
  // gRPC sends a frame of its own for flow control when a read begins. The
  // requests of the callbacks go first.
  Flush();
  stream->Read();
}

void SessionCalls::FinishStream(absl::Status garbage) {
  absl::MutexLock lock(&mu_);
  garbage_ = std::move(garbage);
  broken_ = true;
  ++tags_;
  stream_->Finish();
}

void SessionCalls::Deliver(std::vector<EntryAnswer> answers) {
  Calls answered;
  answered.reserve(answers.size());
  {
    absl::MutexLock lock(&mu_);
    for (EntryAnswer& answer : answers) {
      const auto found = unanswered_.find(answer.id);
      if (found == unanswered_.end()) continue;
      Call call = std::move(found->second);
      unanswered_.erase(found);
      unanswered_bytes_ -= call->bytes;
      if (!End(call.get())) continue;
      // The places of calls and answers are the same.
      if (answered.size() != static_cast<size_t>(&answer - answers.data())) {
        answers[answered.size()] = std::move(answer);
      }
      answered.push_back(std::move(call));
    }
  }
  for (size_t i = 0; i < answered.size(); ++i) {
    answered[i]->Take(std::move(answers[i]));
  }
  Report(answered);
}

void SessionCalls::OnFinished() {
  absl::MutexLock lock(&mu_);
  finished_stream_ = true;
  const absl::Status why =
      garbage_.ok() ? Unanswered(stream_->status()) : garbage_;
  for (auto& [id, call] : unanswered_) EndAs(call, why);
  unanswered_.clear();
  unanswered_bytes_ = 0;
}

void SessionCalls::OnFree(void* tag) {
  const auto found = returning_.find(tag);
  const Call call = std::move(found->second);
  returning_.erase(found);
  call->RunCallback();
  absl::MutexLock lock(&mu_);
  --live_;
}

void SessionCalls::Expire() {
  absl::MutexLock lock(&mu_);
  if (wake_at_ == absl::InfiniteFuture() && deadlines_.empty() &&
      cancel_at_ == absl::InfiniteFuture()) {
    return;
  }
  const absl::Time now = absl::Now();
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    const Call call = deadlines_.begin()->second;
    EndAs(call, absl::DeadlineExceededError("the deadline passed"));
  }
  if (cancel_at_ <= now && stream_ != nullptr) {
    cancel_at_ = absl::InfiniteFuture();
    stream_->Cancel();
  }
  if (wake_at_ <= now) wake_at_ = absl::InfiniteFuture();
  if (!deadlines_.empty()) {
    wake_at_ = std::min(wake_at_, deadlines_.begin()->first.first);
  }
  wake_at_ = std::min(wake_at_, cancel_at_);
}

void SessionCalls::ReportEnded() {
  Calls ended;
  {
    absl::MutexLock lock(&mu_);
    ended.swap(ended_);
  }
  if (!ended.empty()) Report(ended);
}

void SessionCalls::Report(const Calls& calls) {
  int64_t reported = 0;
  for (const Call& call : calls) {
    call->Detach();
    if (call->IsFree(&queue_)) {
      call->RunCallback();
      ++reported;
    } else {
      returning_.emplace(call->tag(), call);
    }
  }
  absl::MutexLock lock(&mu_);
  live_ -= reported;
}

void SessionCalls::Flush() {
  SessionStream* stream;
  grpc::ByteBuffer message;
  bool opens;
  {
    absl::MutexLock lock(&mu_);
    if (!CanWrite()) return;
    opens = stream_ == nullptr;
    if (opens) OpenStream();
    stream = stream_.get();
    message = NextMessage();
  }
  stream->Write(message);
  if (opens) stream->Read();
}

void SessionCalls::Kick() {
  if (std::exchange(kicked_, true)) return;
  kick_alarm_.Set(&queue_, gpr_time_0(GPR_CLOCK_MONOTONIC), &kick_);
}

bool SessionCalls::CanWrite() {
  // Calls that are over must not open a stream.
  while (!waiting_.empty() && waiting_.front()->over) waiting_.pop_front();
  return !waiting_.empty() && !writing_ && !broken_ &&
         unanswered_.size() < static_cast<size_t>(options_.max_unanswered) &&
         unanswered_bytes_ < options_.max_unanswered_bytes;
}

grpc::ByteBuffer SessionCalls::NextMessage() {
  EntryWriter message;
  const absl::Time now =
      deadlines_.empty() ? absl::InfinitePast() : absl::Now();
  do {
    const Call call = std::move(waiting_.front());
    waiting_.pop_front();
    message.Add(call->id, std::move(call->request), call->deadline - now);
    call->request = {};
    unanswered_bytes_ += call->bytes;
    unanswered_.emplace(call->id, call);
  } while (CanWrite() && message.entries() < options_.max_message_entries &&
           static_cast<int64_t>(message.bytes()) + waiting_.front()->bytes <=
               options_.max_message_bytes);
  writing_ = true;
  ++tags_;
  return message.Finish();
}

bool SessionCalls::End(SessionCall* call) {
  if (std::exchange(call->over, true)) return false;
  call->request = {};  // gives back tensors that were not sent
  if (call->deadline != absl::InfiniteFuture()) {
    deadlines_.erase(std::pair(call->deadline, call->id));
  }
  return true;
}

void SessionCalls::EndAs(const Call& call, absl::Status why) {
  if (!End(call.get())) return;
  call->Fail(std::move(why));
  ended_.push_back(call);
}

void SessionCalls::OpenStream() {
  stream_ = std::make_unique<SessionStream>(
      take_channel_(), token_, options_.wait_for_ready, &queue_,
      SessionStream::Tags{&read_, &written_, &half_closed_, &finished_});
  ++tags_;  // of the first read
}

void SessionCalls::DropStreamIfDone() {
  if (!finished_stream_ || tags_ > 0) return;
  stream_ = nullptr;
  writing_ = broken_ = finished_stream_ = false;
  garbage_ = absl::OkStatus();
  cancel_at_ = absl::InfiniteFuture();
}

}  // namespace lossd::client
