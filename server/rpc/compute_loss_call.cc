#include "server/rpc/compute_loss_call.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "server/observability/log.h"
#include "server/rpc/kept_memory.h"
#include "server/rpc/message_text.h"
#include "server/rpc/reply_writer.h"
#include "server/rpc/status.h"

namespace lossd::rpc {
namespace {

using observability::Method;

std::string_view Reason(admission::Refusal refusal) {
  switch (refusal) {
    case admission::Refusal::kBytes:
      return "bytes";
    case admission::Refusal::kRequests:
      return "requests";
    case admission::Refusal::kDeadline:
      return "deadline";
    case admission::Refusal::kDraining:
      return "draining";
  }
  return "draining";
}

absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : absl::FromChrono(deadline);
}

// A connection is known by its peer's address and port; gRPC has no cheaper
// name for it. All connections of a Unix socket have the same one.
uint64_t FlowOf(const grpc::ServerContext& context) {
  return absl::HashOf(context.peer());
}

// The RPC is over for the client, and not by our reply.
absl::Status GoneStatus(absl::Time deadline, absl::Time now) {
  return now >= deadline
             ? absl::DeadlineExceededError("the deadline passed")
             : absl::CancelledError("the client cancelled the request");
}

}  // namespace

ComputeLossCall::ComputeLossCall(const Services* services, LossService* service,
                                 grpc::ServerCompletionQueue* queue)
    : services_(services), service_(service), queue_(queue) {}

void ComputeLossCall::Listen() {
  context_.emplace();
  responder_.emplace(&*context_);
  context_->AsyncNotifyWhenDone(&done_tag_);
  service_->RequestComputeLoss(&*context_, &message_, &*responder_, queue_,
                               queue_, &request_tag_);
}

bool ComputeLossCall::Start() {
  received_ = services_->clock->Now();
  deadline = DeadlineOf(*context_);
  flow = FlowOf(*context_);
  services_->metrics->CallAccepted(Method::kComputeLoss);
  services_->metrics->BytesReceived(static_cast<int64_t>(message_.Length()));
  if (absl::Status status = Read(); !status.ok()) {
    FinishWithError(status);
    return false;
  }
  if (!Admit()) return false;
  if (absl::Status status = TakeResultBuffers(request_, *services_->buffers,
                                              &losses_, &gradient_);
      !status.ok()) {
    FinishWithError(status);
    return false;
  }
  segment = request_.segment();
  // Else it is null, or in shared memory.
  if (request_.wants_gradient()) segment.gradient = gradient_.data();
  segment.losses = losses_.data();
  if (segment.element_count == 0) {  // no blocks: nothing for an executor
    batching::Prepare(*this);
    batching::Computed computed = batching::AnswerOf(*this);
    computed.backend = services_->backend;
    computed.started = computed.finished = received_;
    OnComputed(computed);
    return false;
  }
  enqueued_ = true;
  services_->batcher->Enqueue(this, /*may_run_inline=*/true);
  return true;
}

absl::Status ComputeLossCall::Read() {
  if (absl::Status s = services_->authenticator->Check(*context_); !s.ok())
    return s;
  if (absl::Status s = parser_.Parse(message_); !s.ok()) return s;
  return request_.Read(parser_, services_->regions);
}

bool ComputeLossCall::Admit() {
  // Logits are in memory, element by element, so nothing here overflows. Shared
  // memory costs nothing here: its regions have a budget of their own.
  const int64_t bytes =
      static_cast<int64_t>(message_.Length() + parser_.decoded_bytes() +
                           request_.converted_bytes() + request_.reply_bytes());
  // The queue is asked only by those who could not wait for it.
  const absl::Duration wait = deadline == absl::InfiniteFuture()
                                  ? absl::ZeroDuration()
                                  : services_->batcher->ExpectedWait(flow);
  admission::Refusal refusal{};
  absl::StatusOr<admission::Permit> permit =
      services_->admission->Admit(bytes, deadline, received_, wait, &refusal);
  if (permit.ok()) {
    permit_ = *std::move(permit);
    return true;
  }
  services_->metrics->Rejected(Reason(refusal));
  if (!absl::IsResourceExhausted(permit.status()) ||
      bytes > services_->max_inflight_bytes) {
    FinishWithError(permit.status());
    return false;
  }
  code_ = permit.status().code();
  responder_->FinishWithError(
      ToOverloadStatus(permit.status(), services_->batcher->RetryAfter(flow),
                       &*context_),
      &finished_tag_);
  return false;
}

absl::Status ComputeLossCall::CheckElements(
    const kernels::Totals& totals) const {
  if (segment.options.reject_nan_logits &&
      totals.first_nan != kernels::kNoIndex) {
    return absl::InvalidArgumentError(
        absl::StrCat("logits[", totals.first_nan,
                     "]: NaN, and spec.nan_policy is NAN_POLICY_REJECT"));
  }
  if (totals.first_bad_target == kernels::kNoIndex) return absl::OkStatus();
  const double value = kernels::TargetAt(segment, totals.first_bad_target);
  return absl::InvalidArgumentError(absl::StrCat(
      "targets[", totals.first_bad_target, "]: ", NumberText(value), " is not ",
      segment.options.targets_in_unit_interval ? "in [0, 1]" : "finite"));
}

void ComputeLossCall::OnComputed(const batching::Computed& computed) {
  if (absl::Status s = CheckElements(computed.totals); !s.ok()) {
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
      WriteReply(std::move(reply), services_->buffers);
  services_->metrics->BytesSent(static_cast<int64_t>(bytes.Length()));
  code_ = absl::StatusCode::kOk;
  responder_->Finish(bytes, grpc::Status::OK, &finished_tag_);
}

void ComputeLossCall::OnDropped(const absl::Status& why) {
  FinishWithError(why);
}

void ComputeLossCall::FinishWithError(const absl::Status& status) {
  const grpc::Status answer = ToGrpcStatus(status, request_id());
  code_ = static_cast<absl::StatusCode>(answer.error_code());
  responder_->FinishWithError(answer, &finished_tag_);
}

void ComputeLossCall::OnFinished(bool ok) {
  finished_ = true;
  sent_ = ok;
}

void ComputeLossCall::OnDone() {
  done_ = true;
  if (!enqueued_ || finished_ || !context_->IsCancelled()) return;
  // Nobody waits for the answer. Whoever is computing it already finishes it.
  if (services_->batcher->Remove(this)) {
    FinishWithError(GoneStatus(deadline, services_->clock->Now()));
  }
}

absl::StatusCode ComputeLossCall::FinalCode() const {
  if (sent_ && !context_->IsCancelled()) return code_;
  return GoneStatus(deadline, services_->clock->Now()).code();
}

void ComputeLossCall::Reset() {
  const absl::Duration latency = services_->clock->Now() - received_;
  const absl::StatusCode code = FinalCode();
  services_->metrics->CallFinished(Method::kComputeLoss, code, latency);
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
