#include "server/rpc/compute_loss_call.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/base/reusable_buffers.h"
#include "server/door/status.h"
#include "server/observability/log.h"
#include "server/request/bad_elements.h"
#include "server/rpc/call_admission.h"
#include "server/rpc/reply_writer.h"

namespace lossd::rpc {

using observability::Method;

ComputeLossCall::ComputeLossCall(const CallContext* call_context,
                                 LossService* service,
                                 grpc::ServerCompletionQueue* queue)
    : call_context_(call_context), service_(service), queue_(queue) {}

void ComputeLossCall::Listen() {
  context_.emplace();
  responder_.emplace(&*context_);
  context_->AsyncNotifyWhenDone(&done_tag_);
  service_->RequestComputeLoss(&*context_, &message_, &*responder_, queue_,
                               queue_, &request_tag_);
}

bool ComputeLossCall::Start() {
  received_ = call_context_->clock->Now();
  deadline = DeadlineOf(*context_);
  flow = FlowOf(*context_);
  call_context_->metrics->CallAccepted(Method::kComputeLoss);
  call_context_->metrics->BytesReceived(
      static_cast<int64_t>(message_.Length()));
  if (absl::Status status = Read(); !status.ok()) {
    FinishWithError(status);
    return false;
  }
  if (!Admit()) return false;
  if (absl::Status status = TakeResultBuffers(request_, *call_context_->buffers,
                                              &losses_, &gradient_);
      !status.ok()) {
    FinishWithError(status);
    return false;
  }
  segment = request_.segment();
  // Else it is null, or in shared memory.
  if (request_.gradient_in_reply()) segment.gradient = gradient_.data();
  segment.losses = losses_.data();
  if (segment.element_count == 0) {  // no blocks: nothing for an executor
    batching::Prepare(*this);
    batching::Computed computed = batching::AnswerOf(*this);
    computed.backend = call_context_->backend;
    computed.started = computed.finished = received_;
    OnComputed(computed);
    return false;
  }
  enqueued_ = true;
  call_context_->batcher->Enqueue(this, /*may_run_inline=*/true);
  return true;
}

absl::Status ComputeLossCall::Read() {
  if (absl::Status s = call_context_->authenticator->Check(*context_); !s.ok())
    return s;
  if (absl::Status s = parser_.Parse(message_); !s.ok()) return s;
  return request_.Read(parser_, call_context_->regions);
}

bool ComputeLossCall::Admit() {
  // Logits are in memory, element by element, so nothing here overflows. Shared
  // memory costs nothing here, as its regions have a budget of their own; but
  // what is computed from it does.
  const int64_t bytes = static_cast<int64_t>(
      message_.Length() + parser_.decoded_bytes() + request_.converted_bytes() +
      request_.reply_bytes() + batching::PreparedBytes(request_.segment()));
  const grpc::Status answer = rpc::Admit(*call_context_, bytes, flow, deadline,
                                         received_, &*context_, &permit_);
  if (answer.ok()) return true;
  code_ = static_cast<absl::StatusCode>(answer.error_code());
  responder_->FinishWithError(answer, &finished_tag_);
  return false;
}

void ComputeLossCall::OnComputed(const batching::Computed& computed) {
  if (absl::Status s = request::CheckElements(
          segment, computed.totals, {request_.dims(), request_.targets_dims()});
      !s.ok()) {
    FinishWithError(s);
  } else {
    FinishWithReply(computed);
  }
}

void ComputeLossCall::FinishWithReply(const batching::Computed& computed) {
  Reply reply{
      .loss = kernels::LossOf(segment, computed.totals, computed.normalizer),
      .computed = computed,
      .queue_time = computed.started - received_,
      .request_id = request_id(),
      .request = request_,
      .losses = std::move(losses_),
      .gradient = std::move(gradient_),
  };
  const grpc::ByteBuffer bytes =
      WriteReply(std::move(reply), call_context_->buffers);
  call_context_->metrics->BytesSent(static_cast<int64_t>(bytes.Length()));
  code_ = absl::StatusCode::kOk;
  permit_.MarkAnswered();
  responder_->Finish(bytes, grpc::Status::OK, &finished_tag_);
}

void ComputeLossCall::OnDropped(const absl::Status& why) {
  FinishWithError(why);
}

void ComputeLossCall::FinishWithError(const absl::Status& status) {
  const grpc::Status answer = door::ToGrpcStatus(status, request_id());
  code_ = static_cast<absl::StatusCode>(answer.error_code());
  permit_.MarkAnswered();
  responder_->FinishWithError(answer, &finished_tag_);
}

bool ComputeLossCall::OnEvent(int event, bool ok) {
  switch (event) {
    case kRequest:
      return Start();
    case kFinished:
      OnFinished(ok);
      return false;
    default:  // kDone
      OnDone();
      return false;
  }
}

void ComputeLossCall::OnFinished(bool ok) {
  finished_ = true;
  sent_ = ok;
}

void ComputeLossCall::OnDone() {
  done_ = true;
  if (!enqueued_ || finished_ || !context_->IsCancelled()) return;
  // Nobody waits for the answer. Whoever is computing it already finishes it.
  if (call_context_->batcher->Remove(this)) {
    FinishWithError(GoneStatus(deadline, call_context_->clock->Now()));
  }
}

absl::StatusCode ComputeLossCall::FinalCode() const {
  if (sent_ && !context_->IsCancelled()) return code_;
  return GoneStatus(deadline, call_context_->clock->Now()).code();
}

void ComputeLossCall::Reset() {
  const absl::Duration latency = call_context_->clock->Now() - received_;
  const absl::StatusCode code = FinalCode();
  call_context_->metrics->CallFinished(Method::kComputeLoss, code, latency);
  if (observability::LogsRequests()) {
    observability::LogRequest(
        absl::StrCat("ComputeLoss ", absl::StatusCodeToString(code), " in ",
                     absl::FormatDuration(latency)),
        parser_.request().request_id());
  }
  permit_ = admission::Permit();
  gradient_ = Buffer();
  losses_ = Buffer();
  segment = kernels::Segment();
  ClearForReuse(partials);
  request_.Clear();
  parser_.Clear();
  message_.Clear();
  responder_.reset();
  context_.reset();
  enqueued_ = finished_ = sent_ = done_ = false;
}

}  // namespace lossd::rpc
