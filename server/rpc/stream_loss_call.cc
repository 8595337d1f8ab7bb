#include "server/rpc/stream_loss_call.h"

#include <algorithm>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/door/status.h"
#include "server/request/window_maker.h"
#include "server/rpc/call_tracing.h"

namespace lossd::rpc {

StreamLossCall::StreamLossCall(const CallContext* call_context,
                               LossService* service,
                               grpc::ServerCompletionQueue* queue)
    : RpcCall(observability::Method::kStreamLoss, call_context),
      service_(service),
      queue_(queue),
      idle_alarm_(call_context->clock, call_context->stream_idle_limit, queue,
                  Tag{this, kIdle}),
      output_(call_context, queue, this, kFirstWindow) {}

void StreamLossCall::RequestRpc() {
  stream_.emplace(&*context_);
  service_->RequestStreamLoss(&*context_, &*stream_, queue_, queue_,
                              request_tag());
}

bool StreamLossCall::Handle(int event, bool ok) {
  enqueued_ = false;
  if (event != kIdle) idle_alarm_.Touch();
  switch (event) {
    case kRequest:
      OnRequest();
      break;
    case kFinished:
      break;
    case kDone:
      OnDone();
      break;
    case kRead:
      OnRead(ok);
      break;
    case kWritten:
      OnWritten(ok);
      break;
    case kIdle:
      OnIdle();
      break;
    default:
      TraceWindow(output_.OnBack(static_cast<size_t>(event - kFirstWindow)));
  }
  Advance();
  if (finished_ && done_) idle_alarm_.Cancel();
  return enqueued_;
}

void StreamLossCall::OnRequest() {
  idle_alarm_.Start();
  if (absl::Status status = CheckClient(); !status.ok()) Fail(status);
}

void StreamLossCall::OnRead(bool ok) {
  reading_ = ok ? Reading::kPaused : Reading::kClosed;
  if (ending_ != Ending::kOpen) return;
  absl::Status status;
  if (ok) {
    call_context_->metrics->RecordBytesReceived(
        static_cast<int64_t>(message_.Length()));
    status = input_.Take(message_);
    message_.Clear();
    status.Update(CheckClientAgain());
  } else {
    status = input_.CheckComplete();
  }
  if (!status.ok()) return Fail(status);
  Charge();
}

void StreamLossCall::OnWritten(bool ok) {
  writing_ = false;
  // Nobody reads any more. kDone tells why, and with which code it is counted.
  if (!ok) Fail(absl::CancelledError("the client went away"));
}

void StreamLossCall::OnDone() {
  if (ending_ == Ending::kOpen && context_->IsCancelled()) Fail(GoneStatus());
}

void StreamLossCall::OnIdle() {
  if (finished_ && done_) return idle_alarm_.Drop();
  // While a window is in flight, the client waits for the server.
  if (!idle_alarm_.OnTag(/*excused=*/output_.InFlight())) return;
  const absl::Status idle = absl::DeadlineExceededError(absl::StrCat(
      "the stream was idle for ", absl::FormatDuration(idle_alarm_.limit()),
      ": the client neither sent nor read (--stream_idle_timeout)"));
  Fail(idle);
  // Finish would wait behind a message that the client does not read.
  if (writing_ || ending_ == Ending::kFinishing) {
    Cancel(failure_.value_or(door::ToGrpcStatus(idle, "")));
  }
}

void StreamLossCall::TraceWindow(const StreamWindow& window) {
  if (trace_ == nullptr) return;
  trace_->AddTask(window.enqueued, window.started, window.finished());
  trace_->compute_attributes = {
      {"lossd.backend", std::string(window.backend())}};
}

void StreamLossCall::Advance() {
  if (ending_ == Ending::kOpen && input_.plan() != nullptr) {
    WriteResults();
    if (ending_ == Ending::kOpen) SendWindows();
  }
  if (ending_ == Ending::kFailed && !writing_) {
    ending_ = Ending::kFinishing;
    NoteAnswer(*failure_);
    stream_->Finish(*failure_, finished_tag());
  }
  if (ending_ != Ending::kOpen) return;
  if (reading_ == Reading::kPaused && !output_.full()) {
    reading_ = Reading::kReading;
    stream_->Read(&message_, &read_tag_);
  }
  if (reading_ == Reading::kClosed && output_.empty() && !writing_) {
    WriteSummary();
  }
}

void StreamLossCall::SendWindows() {
  const request::WindowMaker maker(*input_.plan(), *call_context_->buffers);
  while (!output_.full() && input_.HasWindow()) {
    StreamWindow& window = output_.Append();
    const uint64_t count = input_.TakeWindow(&window);
    absl::StatusOr<kernels::Segment> segment =
        maker.Make(window.first_element, count, &window.memory);
    if (!segment.ok()) return Fail(segment.status());
    window.segment = *segment;
    window.loss_weight = input_.plan()->whole().options.loss_weight;
    window.deadline = deadline_;
    window.flow = flow_;
    window.job = JobNumber();
    window.blocks_before = window.first_element / kernels::kBlockElements;
    enqueued_ = true;
    window.Send(*call_context_->batcher);
  }
}

void StreamLossCall::WriteResults() {
  if (writing_) return;
  absl::StatusOr<std::optional<grpc::ByteBuffer>> message =
      output_.NextMessage(*input_.plan());
  Uncharge();  // windows may have been freed
  if (!message.ok()) return Fail(message.status());
  if (!message->has_value()) return;
  call_context_->metrics->RecordBytesSent(
      static_cast<int64_t>((*message)->Length()));
  writing_ = true;
  stream_->Write(**message, &written_tag_);
}

void StreamLossCall::WriteSummary() {
  const grpc::ByteBuffer summary = output_.Summary(*input_.plan());
  call_context_->metrics->RecordBytesSent(
      static_cast<int64_t>(summary.Length()));
  ending_ = Ending::kFinishing;
  NoteAnswer(grpc::Status::OK);
  stream_->WriteAndFinish(summary, grpc::WriteOptions(), grpc::Status::OK,
                          finished_tag());
}

void StreamLossCall::Charge() {
  grpc::Status charged;
  if (!permit_.held()) {
    TraceRequest(input_.plan()->whole(), trace_.get());
    charged = Admit(ChargedBytes(), call_context_->clock->Now());
  } else if (ChargedBytes() > permit_.bytes()) {
    charged = ChargeMore(ChargedBytes());
  }
  if (!charged.ok()) FailWith(charged);
}

void StreamLossCall::Uncharge() {
  if (ChargedBytes() < permit_.bytes()) permit_.ShrinkTo(ChargedBytes());
}

// Reserves the windows' memory, and as much input again as they hold, because
// the next messages wait while windows are computed. Neither is more than the
// whole tensor has. A message that is larger than that is charged on top.
int64_t StreamLossCall::ChargedBytes() const {
  const request::StreamPlan& plan = *input_.plan();
  const uint64_t count =
      std::min(plan.element_count(), kWindowElements * kMaxWindows);
  const uint64_t reserved =
      input_.header_bytes() + 2 * plan.ArrivingBytes(count);
  const uint64_t held =
      input_.header_bytes() + input_.queued_bytes() + output_.input_bytes();
  return static_cast<int64_t>(plan.MadeBytes(count) + std::max(reserved, held));
}

void StreamLossCall::Fail(const absl::Status& status) {
  FailWith(door::ToGrpcStatus(status, request_id()));
}

void StreamLossCall::FailWith(const grpc::Status& answer) {
  if (ending_ != Ending::kOpen) return;
  ending_ = Ending::kFailed;
  failure_ = answer;
  output_.RemoveFromQueue();
}

absl::string_view StreamLossCall::request_id() const {
  return input_.plan() != nullptr ? input_.plan()->request_id() : "";
}

std::string StreamLossCall::LogDetail() const {
  return absl::StrCat(" of ", input_.taken_elements(), " elements");
}

bool StreamLossCall::ended() const {
  return RpcCall::ended() && reading_ != Reading::kReading && !writing_ &&
         !output_.InFlight() && !idle_alarm_.pending();
}

void StreamLossCall::Release(absl::StatusCode /*code*/) {
  output_.Clear();
  input_.Clear();
  message_.Clear();
  stream_.reset();
  reading_ = Reading::kPaused;
  ending_ = Ending::kOpen;
  writing_ = false;
  failure_.reset();
}

}  // namespace lossd::rpc
