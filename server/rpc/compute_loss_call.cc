#include "server/rpc/compute_loss_call.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/base/reusable_buffers.h"
#include "server/door/status.h"
#include "server/rpc/call_tracing.h"

namespace lossd::rpc {
namespace {

// A client that takes its answer more slowly than this loses it.
constexpr int64_t kLeastBytesPerSecond = 256 << 10;

}  // namespace

ComputeLossCall::ComputeLossCall(const CallContext* call_context,
                                 LossService* service,
                                 grpc::ServerCompletionQueue* queue)
    : RpcCall(observability::Method::kComputeLoss, call_context),
      service_(service),
      queue_(queue),
      computation_(call_context) {}

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
  if (absl::Status status = CheckClient(); !status.ok()) {
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
  if (absl::Status status = computation_.Read(message_, may_share_);
      !status.ok()) {
    FinishWithError(status);
    return false;
  }
  TraceRequest(computation_.segment(), trace_.get());
  if (grpc::Status refusal = Admit(computation_.ChargedBytes(), received_);
      !refusal.ok()) {
    Finish(refusal);
    return false;
  }
  absl::StatusOr<kernels::Segment> begun = computation_.Start();
  if (!begun.ok()) {
    FinishWithError(begun.status());
    return false;
  }
  segment = *begun;
  loss_weight = segment.options.loss_weight;
  job = JobNumber();
  enqueued_ = true;
  call_context_->batcher->Enqueue(this, /*may_run_inline=*/true);
  return true;
}

void ComputeLossCall::OnComputed(const batching::Computed& computed) {
  TraceTask(*this, computed, trace_.get());
  // Nobody waits for an answer that is late, so it is not sent.
  if (IsLate()) return FinishLate();
  absl::StatusOr<wire::SlicedMessage> reply =
      computation_.Answer(segment, computed, received_);
  if (reply.ok()) {
    FinishWithReply(*std::move(reply));
  } else {
    FinishWithError(reply.status());
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
  TraceDropped(*this, trace_.get());
  IsLate() ? FinishLate() : FinishWithError(why);
}

void ComputeLossCall::FinishLate() {
  FinishWithError(absl::DeadlineExceededError(
      "the deadline passed before the answer was there"));
}

void ComputeLossCall::FinishWithReply(wire::SlicedMessage reply) {
  const grpc::ByteBuffer bytes = reply.Finish();
  const auto size = static_cast<int64_t>(bytes.Length());
  call_context_->metrics->RecordBytesSent(size);
  NoteAnswer(grpc::Status::OK);
  answer_bytes_.store(size, std::memory_order_release);
  stream_->WriteAndFinish(bytes, grpc::WriteOptions(), grpc::Status::OK,
                          finished_tag());
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
  if (!call_context_->batcher->Remove(this)) return;
  TraceDropped(*this, trace_.get());
  FinishWithError(GoneStatus());
}

// gRPC tells when the whole of an answer is out, and nothing before that. So a
// slow link has the idle limit and as long as the answer takes at the least
// rate.
void ComputeLossCall::OnSweep() {
  RpcCall::OnSweep();
  const int64_t bytes = answer_bytes_.load(std::memory_order_acquire);
  if (bytes == kNoAnswer || finished_) return;
  const absl::Time now = call_context_->clock->Now();
  untaken_since_ = std::min(untaken_since_, now);
  const absl::Duration allowed = call_context_->stream_idle_limit +
                                 absl::Seconds(bytes / kLeastBytesPerSecond);
  if (now - untaken_since_ < allowed) return;
  Cancel(door::ToGrpcStatus(
      absl::DeadlineExceededError(absl::StrCat(
          "the client has not taken its answer for ",
          absl::FormatDuration(allowed), " (--stream_idle_timeout)")),
      request_id()));
}

// An answer counts until it is out, because a client that is slow to take its
// answers is one more reason to receive less. It is not late if OnSweep() ended
// it: the server had computed it in time.
void ComputeLossCall::LeaveIntake(absl::StatusCode code) {
  admission::Intake& intake = *call_context_->intake;
  const absl::Time now = call_context_->clock->Now();
  if (code == absl::StatusCode::kOk) {
    intake.LeaveAnswered(&arrival_, permit_.bytes(), now);
  } else if (code == absl::StatusCode::kDeadlineExceeded &&
             answer_bytes_.load(std::memory_order_relaxed) == kNoAnswer) {
    intake.LeaveLate(&arrival_, now);
  } else {
    intake.Leave(&arrival_, now);
  }
}

void ComputeLossCall::Release(absl::StatusCode code) {
  if (std::exchange(inside_, false)) LeaveIntake(code);
  segment = kernels::Segment();
  ClearForReuse(partials);
  rows = Rows();
  computation_.Clear();
  message_.Clear();
  stream_.reset();
  waiting_ = false;
  enqueued_ = false;
  answer_bytes_.store(kNoAnswer, std::memory_order_relaxed);
  untaken_since_ = absl::InfiniteFuture();
}

}  // namespace lossd::rpc
