#include "server/rpc/compute_loss_call.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "server/base/reusable_buffers.h"
#include "server/base/status_macros.h"
#include "server/door/status.h"
#include "server/request/bad_elements.h"

namespace lossd::rpc {

ComputeLossCall::ComputeLossCall(const CallContext* call_context,
                                 LossService* service,
                                 grpc::ServerCompletionQueue* queue)
    : RpcCall(observability::Method::kComputeLoss, call_context),
      service_(service),
      queue_(queue) {}

void ComputeLossCall::RequestRpc() {
  stream_.emplace(&*context_);
  service_->RequestComputeLoss(&*context_, &*stream_, queue_, request_tag());
}

bool ComputeLossCall::Handle(int event, bool ok) {
  if (event == kRead) return OnRead(ok);
  if (event == kRequest) OnRequest();
  if (event == kDone) OnDone();
  return false;
}

void ComputeLossCall::OnRequest() {
  admission::Intake& intake = *call_context_->intake;
  if (absl::Status status = call_context_->authenticator->Check(*context_);
      !status.ok()) {
    return FinishWithError(status);
  }
  if (call_context_->admission->IsTight()) {
    const grpc::Status refusal = Foresee(intake.LeastExpected(flow_));
    if (!refusal.ok()) return Finish(refusal);
  }
  arrival_.reader = this;
  arrival_.flow = flow_;
  arrival_.deadline = deadline_;
  waiting_ = true;
  switch (intake.Enter(&arrival_, call_context_->admission->inflight_bytes(),
                       received_)) {
    case admission::Intake::Decision::kRead:
      return OnMayRead();
    case admission::Intake::Decision::kWait:
      return;
    case admission::Intake::Decision::kFull:
      return Finish(RefuseForPlaces());
    case admission::Intake::Decision::kTooLate:
      return FinishWithError(absl::DeadlineExceededError(
          "the deadline is too near: the message was not received"));
  }
}

void ComputeLossCall::OnMayRead() { stream_->Read(&message_, &read_tag_); }

void ComputeLossCall::OnTurnedAway(const absl::Status& why) {
  FinishWithError(why);
}

bool ComputeLossCall::OnRead(bool ok) {
  waiting_ = false;
  inside_ = true;
  if (ok) {
    call_context_->intake->Received(&arrival_, call_context_->clock->Now());
    const bool in_queue = Start();
    LetOthersIn();
    return in_queue;
  }
  if (IsLate()) {
    FinishLate();
  } else if (context_->IsCancelled()) {
    FinishWithError(GoneStatus());
  } else {
    FinishWithError(absl::InvalidArgumentError("the call has no message"));
  }
  return false;
}

bool ComputeLossCall::Start() {
  deadline = deadline_;
  flow = flow_;
  call_context_->metrics->RecordBytesReceived(
      static_cast<int64_t>(message_.Length()));
  if (absl::Status status = Read(); !status.ok()) {
    FinishWithError(status);
    return false;
  }
  if (grpc::Status refusal = Admit(ChargedBytes(), received_); !refusal.ok()) {
    Finish(refusal);
    return false;
  }
  absl::StatusOr<ResultBuffers> results =
      TakeResultBuffers(request_, *call_context_->buffers);
  if (!results.ok()) {
    FinishWithError(results.status());
    return false;
  }
  results_ = *std::move(results);
  segment = request_.segment();
  // Otherwise they are null, or in shared memory.
  if (request_.gradient_in_reply()) segment.gradient = results_.gradient.data();
  if (request_.second_derivative_in_reply()) {
    segment.second_derivative = results_.second_derivative.data();
  }
  if (!request_.wants_row_losses()) segment.losses = results_.losses.data();
  enqueued_ = true;
  call_context_->batcher->Enqueue(this, /*may_run_inline=*/true);
  return true;
}

absl::Status ComputeLossCall::Read() {
  RETURN_IF_ERROR(parser_.Parse(message_));
  return request_.Read(parser_, call_context_->regions);
}

// The sum does not overflow, because every logit lies in memory. Regions of
// shared memory are not charged here, as they have a budget of their own; but
// results that are computed from them are.
int64_t ComputeLossCall::ChargedBytes() const {
  return static_cast<int64_t>(
      message_.Length() + parser_.decoded_bytes() + request_.converted_bytes() +
      request_.reply_bytes() + batching::PreparedBytes(request_.segment()));
}

void ComputeLossCall::OnComputed(const batching::Computed& computed) {
  // Nobody waits for an answer that is late, so it is not sent.
  if (IsLate()) return FinishLate();
  // The task's own segment may have factors in place of the upstream gradient.
  absl::Status elements = request::CheckElements(
      request_.segment(), computed.totals, request_.shapes());
  if (elements.ok()) {
    FinishWithReply(computed);
  } else {
    FinishWithError(elements);
  }
}

// A client counts from the moment in which it made the call, the server from
// that in which the headers came: so one that has gone shortly before its
// deadline has met it.
bool ComputeLossCall::IsLate() const {
  if (deadline_ == absl::InfiniteFuture()) return false;
  const absl::Time now = call_context_->clock->Now();
  if (now >= deadline_) return true;
  return context_->IsCancelled() && deadline_ - now < now - received_;
}

void ComputeLossCall::OnDropped(const absl::Status& why) {
  IsLate() ? FinishLate() : FinishWithError(why);
}

void ComputeLossCall::FinishLate() {
  FinishWithError(absl::DeadlineExceededError(
      "the deadline passed before the answer was there"));
}

void ComputeLossCall::FinishWithReply(batching::Computed computed) {
  if (request_.wants_row_losses()) WriteRowLosses();
  // A request without elements is answered in the name of the usual backend.
  if (computed.backend.empty()) computed.backend = call_context_->backend;
  Reply reply{
      .loss = kernels::LossOf(segment, computed.totals, computed.normalizer),
      .computed = computed,
      .queue_time = computed.started - received_,
      .request_id = request_id(),
      .request = request_,
      .results = std::move(results_),
  };
  const grpc::ByteBuffer bytes =
      WriteReply(std::move(reply), call_context_->buffers);
  call_context_->metrics->RecordBytesSent(static_cast<int64_t>(bytes.Length()));
  NoteAnswer(grpc::Status::OK);
  stream_->WriteAndFinish(bytes, grpc::WriteOptions(), grpc::Status::OK,
                          finished_tag());
}

void ComputeLossCall::WriteRowLosses() {
  std::byte* const to = results_.losses.data();
  // Rows without elements have losses, too.
  if (segment.element_count == 0) {
    std::fill_n(to, results_.losses.size(), std::byte{0});
    return;
  }
  kernels::RowLossWriter writer(&segment, to);
  kernels::RowAccumulator().Add(
      segment, [&writer](const auto& totals) { writer.Add(totals); });
}

void ComputeLossCall::FinishWithError(const absl::Status& status) {
  Finish(door::ToGrpcStatus(status, request_id()));
}

void ComputeLossCall::Finish(const grpc::Status& answer) {
  NoteAnswer(answer);
  stream_->Finish(answer, finished_tag());
}

// Nobody waits for the answer any more. A task that is being computed is still
// finished by its executor.
void ComputeLossCall::OnDone() {
  if (waiting_ && !finished_ &&
      call_context_->intake->Remove(&arrival_, call_context_->clock->Now())) {
    return FinishWithError(GoneStatus());
  }
  if (!enqueued_ || finished_ || !context_->IsCancelled()) return;
  if (call_context_->batcher->Remove(this)) FinishWithError(GoneStatus());
}

// An answer counts until it is out, because a client that is slow to take its
// answers is one more reason to receive less.
void ComputeLossCall::LeaveIntake(absl::StatusCode code) {
  admission::Intake& intake = *call_context_->intake;
  const absl::Time now = call_context_->clock->Now();
  if (code == absl::StatusCode::kOk) {
    intake.LeaveAnswered(&arrival_, permit_.bytes(), now);
  } else if (code == absl::StatusCode::kDeadlineExceeded) {
    intake.LeaveLate(&arrival_, now);
  } else {
    intake.Leave(&arrival_, now);
  }
}

void ComputeLossCall::Release(absl::StatusCode code) {
  if (std::exchange(inside_, false)) LeaveIntake(code);
  results_ = ResultBuffers();
  segment = kernels::Segment();
  ClearForReuse(partials);
  rows = Rows();
  request_.Clear();
  parser_.Clear();
  message_.Clear();
  stream_.reset();
  waiting_ = false;
  enqueued_ = false;
}

}  // namespace lossd::rpc
