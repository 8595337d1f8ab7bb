#include "server/rpc/stream_loss_call.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/door/status.h"
#include "server/observability/log.h"
#include "server/request/bad_elements.h"
#include "server/rpc/call_admission.h"
#include "server/rpc/stream_reply.h"

namespace lossd::rpc {

using observability::Method;

StreamLossCall::StreamLossCall(const CallContext* call_context,
                               LossService* service,
                               grpc::ServerCompletionQueue* queue)
    : call_context_(call_context),
      service_(service),
      queue_(queue),
      idle_alarm_(call_context->clock, call_context->stream_idle_limit, queue,
                  Tag{this, kIdle}) {
  for (size_t i = 0; i < windows_.size(); ++i) {
    windows_[i] = std::make_unique<StreamWindow>(
        queue, Tag{this, kFirstWindow + static_cast<int>(i)});
  }
}

void StreamLossCall::Listen() {
  context_.emplace();
  stream_.emplace(&*context_);
  context_->AsyncNotifyWhenDone(&done_tag_);
  service_->RequestStreamLoss(&*context_, &*stream_, queue_, queue_,
                              &request_tag_);
}

bool StreamLossCall::OnEvent(int event, bool ok) {
  enqueued_ = false;
  if (event != kIdle) idle_alarm_.Touch();
  switch (event) {
    case kRequest:
      OnRequest();
      break;
    case kRead:
      OnRead(ok);
      break;
    case kWritten:
      OnWritten(ok);
      break;
    case kFinished:
      now_.finished = true;
      now_.sent = ok;
      break;
    case kDone:
      OnDone();
      break;
    case kIdle:
      OnIdle();
      break;
    default:
      windows_[static_cast<size_t>(event - kFirstWindow)]->state =
          StreamWindow::State::kBack;
  }
  Advance();
  if (now_.finished && now_.done) idle_alarm_.Cancel();
  return enqueued_;
}

void StreamLossCall::OnRequest() {
  now_.received = call_context_->clock->Now();
  now_.deadline = DeadlineOf(*context_);
  now_.flow = FlowOf(*context_);
  call_context_->metrics->CallAccepted(Method::kStreamLoss);
  idle_alarm_.Start();
  if (absl::Status s = call_context_->authenticator->Check(*context_); !s.ok())
    Fail(s);
}

void StreamLossCall::OnRead(bool ok) {
  now_.reading = false;
  if (now_.failure) return;
  absl::Status status;
  if (ok) {
    call_context_->metrics->BytesReceived(
        static_cast<int64_t>(message_buffer_.Length()));
    status = TakeMessage();
  } else {
    now_.half_closed = true;
    status = CheckComplete();
  }
  if (!status.ok()) Fail(status);
}

void StreamLossCall::OnWritten(bool ok) {
  now_.writing = false;
  // Nobody reads any more; kDone says why, and counts.
  if (!ok) Fail(absl::CancelledError("the client went away"));
}

void StreamLossCall::OnDone() {
  now_.done = true;
  if (!now_.finishing && context_->IsCancelled()) {
    Fail(GoneStatus(now_.deadline, call_context_->clock->Now()));
  }
}

void StreamLossCall::OnIdle() {
  if (now_.finished && now_.done) return idle_alarm_.Drop();
  // With a window out the client waits for us.
  if (!idle_alarm_.OnTag(/*excused=*/windows_out())) return;
  const absl::Status idle = absl::DeadlineExceededError(absl::StrCat(
      "the stream was idle for ", absl::FormatDuration(idle_alarm_.limit()),
      ": the client neither sent nor read (--stream_idle_timeout)"));
  Fail(idle);
  if (!now_.writing && !now_.finishing) return;
  // The end would wait behind what the client does not read.
  const grpc::Status end = now_.failure.value_or(door::ToGrpcStatus(idle, ""));
  now_.code = static_cast<absl::StatusCode>(end.error_code());
  now_.cut = true;
  grpc_call_cancel_with_status(context_->c_call(),
                               static_cast<grpc_status_code>(end.error_code()),
                               end.error_message().c_str(), nullptr);
}

void StreamLossCall::Advance() {
  if (!now_.failure && plan_) {
    WriteResults();
    if (!now_.failure) SendWindows();
  }
  if (now_.failure) {
    if (now_.writing || now_.finishing) return;
    now_.finishing = true;
    permit_.MarkAnswered();
    stream_->Finish(*now_.failure, &finished_tag_);
    return;
  }
  const bool room = now_.newest - now_.oldest < kMaxWindows;
  if (room && !now_.reading && !now_.half_closed) {
    now_.reading = true;
    stream_->Read(&message_buffer_, &read_tag_);
  }
  if (now_.half_closed && now_.oldest == now_.newest && !now_.writing &&
      !now_.finishing) {
    WriteSummary();
  }
}

bool StreamLossCall::NextWindowIsHere() const {
  const uint64_t count = NextCount();
  if (count == 0) return false;
  for (const wire::Field field : wire::kAllFields) {
    if (plan_->streamed(field) &&
        queues_[field].bytes() < plan_->ByteSize(field, count)) {
      return false;
    }
  }
  return true;
}

uint64_t StreamLossCall::NextCount() const {
  return std::min(kWindowElements, plan_->element_count() - now_.next_element);
}

void StreamLossCall::SendWindows() {
  while (now_.newest - now_.oldest < kMaxWindows && NextWindowIsHere()) {
    StreamWindow& next = window(now_.newest);
    const uint64_t count = NextCount();
    for (const wire::Field field : wire::kAllFields) {
      if (!plan_->streamed(field)) continue;
      queues_[field].Take(plan_->ByteSize(field, count),
                          &next.memory.slices[field]);
    }
    next.first_element = now_.next_element;
    next.held_bytes = plan_->ArrivingBytes(count);
    now_.next_element += count;
    next.deadline = now_.deadline;
    next.flow = now_.flow;
    ++now_.newest;
    absl::StatusOr<kernels::Segment> made =
        request::WindowMaker(*plan_, *call_context_->buffers)
            .Make(next.first_element, count, &next.memory);
    if (!made.ok()) return Fail(made.status());
    next.segment = *made;
    enqueued_ = true;
    next.Send(*call_context_->batcher);
  }
}

void StreamLossCall::WriteResults() {
  while (now_.oldest < now_.newest && !now_.writing) {
    StreamWindow& oldest = window(now_.oldest);
    if (oldest.state != StreamWindow::State::kBack) return;
    if (!std::exchange(now_.settled, true)) {
      if (absl::Status s = Settle(oldest); !s.ok()) return Fail(s);
    }
    if (plan_->wants_losses() && !std::exchange(now_.losses_sent, true)) {
      return Write(v1::StreamLossResponse::kLossesFieldNumber,
                   std::move(oldest.memory.losses));
    }
    if (oldest.memory.gradient.size() > 0) {
      return Write(v1::StreamLossResponse::kGradientFieldNumber,
                   std::move(oldest.memory.gradient));
    }
    now_.settled = now_.losses_sent = false;
    ++now_.oldest;
    Free(oldest);
  }
}

// A window that is back goes into the totals, or says what is wrong.
absl::Status StreamLossCall::Settle(StreamWindow& window) {
  if (!window.outcome().ok()) return window.outcome();
  const kernels::Totals totals = kernels::Combine(window.partials);
  absl::Status status = request::CheckElements(
      window.segment, totals, {plan_->dims(), plan_->targets_dims()},
      window.first_element);
  if (!status.ok()) return status;
  now_.totals.Add(window.partials, window.first_element);
  now_.backend = window.backend();
  return absl::OkStatus();
}

void StreamLossCall::Free(StreamWindow& window) {
  now_.held -= window.held_bytes;
  window.Clear();
  // Never more than before: it cannot fail.
  if (ChargedBytes() < permit_.bytes()) {
    admission::Refusal never;
    permit_.Resize(ChargedBytes(), &never).IgnoreError();
  }
}

void StreamLossCall::Write(uint32_t field, Buffer payload) {
  const grpc::ByteBuffer bytes =
      WriteStreamBytes(field, std::move(payload), call_context_->buffers);
  call_context_->metrics->BytesSent(static_cast<int64_t>(bytes.Length()));
  now_.writing = true;
  stream_->Write(bytes, &written_tag_);
}

void StreamLossCall::WriteSummary() {
  v1::StreamLossSummary summary = plan_->Summarize(now_.totals.Sum());
  const std::string_view backend =
      now_.backend.empty() ? call_context_->backend : now_.backend;
  summary.set_backend(backend.data(), backend.size());
  const grpc::ByteBuffer bytes = WriteStreamSummary(std::move(summary));
  call_context_->metrics->BytesSent(static_cast<int64_t>(bytes.Length()));
  now_.finishing = true;
  permit_.MarkAnswered();
  stream_->WriteAndFinish(bytes, grpc::WriteOptions(), grpc::Status::OK,
                          &finished_tag_);
}

void StreamLossCall::Fail(const absl::Status& status) {
  FailWith(door::ToGrpcStatus(status, plan_ ? plan_->request_id() : ""));
}

void StreamLossCall::FailWith(const grpc::Status& answer) {
  if (now_.failure || now_.finishing) return;
  now_.failure = answer;
  now_.code = static_cast<absl::StatusCode>(answer.error_code());
  for (const auto& window : windows_) {
    if (window->state == StreamWindow::State::kOut &&
        call_context_->batcher->Remove(window.get())) {
      window->state = StreamWindow::State::kBack;
    }
  }
}

bool StreamLossCall::windows_out() const {
  return std::any_of(windows_.begin(), windows_.end(), [](const auto& window) {
    return window->state == StreamWindow::State::kOut;
  });
}

bool StreamLossCall::ended() const {
  return now_.finished && now_.done && !now_.reading && !now_.writing &&
         !windows_out() && !idle_alarm_.out();
}

absl::StatusCode StreamLossCall::FinalCode() const {
  if (now_.cut || (now_.sent && !context_->IsCancelled())) return now_.code;
  return GoneStatus(now_.deadline, call_context_->clock->Now()).code();
}

void StreamLossCall::Reset() {
  const absl::Duration latency = call_context_->clock->Now() - now_.received;
  const absl::StatusCode code = FinalCode();
  call_context_->metrics->CallFinished(Method::kStreamLoss, code, latency);
  if (observability::LogsRequests()) {
    observability::LogRequest(
        absl::StrCat("StreamLoss ", absl::StatusCodeToString(code), " of ",
                     now_.next_element, " elements in ",
                     absl::FormatDuration(latency)),
        plan_ ? std::string(plan_->request_id()) : std::string());
  }
  for (const auto& window : windows_) window->Clear();
  for (wire::SliceQueue& queue : queues_) queue.Clear();
  permit_ = admission::Permit();
  message_.Clear();
  message_buffer_.Clear();
  plan_.reset();
  stream_.reset();
  context_.reset();
  now_ = Progress();
}

}  // namespace lossd::rpc
