#include "server/rpc/rpc_call.h"

#include <grpc/grpc.h>

#include <chrono>
#include <string_view>
#include <utility>

#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "base/steady_time.h"
#include "server/base/status_macros.h"
#include "server/door/client_flow.h"
#include "server/door/flow_name.h"
#include "server/door/job_name.h"
#include "server/door/retry_delay.h"
#include "server/door/status.h"
#include "server/observability/log.h"
#include "server/rpc/call_log.h"
#include "server/rpc/call_tracing.h"

namespace lossd::rpc {
namespace {

std::string_view Reason(admission::Refusal refusal) {
  switch (refusal) {
    case admission::Refusal::kBytes:
      return "bytes";
    case admission::Refusal::kRequests:
      return "requests";
    case admission::Refusal::kShare:
      return "share";
    case admission::Refusal::kDeadline:
      return "deadline";
    case admission::Refusal::kDraining:
      return "draining";
  }
  return "draining";
}

// gRPC computes the deadline anew, from its own steady clock and the time of
// day.
absl::Time DeadlineOf(const grpc::ServerContext& context) {
  const auto deadline = context.deadline();
  return deadline == std::chrono::system_clock::time_point::max()
             ? absl::InfiniteFuture()
             : SteadyTimeOf(absl::FromChrono(deadline));
}

}  // namespace

void RpcCall::Listen() {
  context_.emplace();
  context_->AsyncNotifyWhenDone(&done_tag_);
  RequestRpc();
}

bool RpcCall::OnEvent(int event, bool ok) {
  switch (event) {
    case kRequest:
      Begin();
      break;
    case kFinished:
      finished_ = true;
      sent_ = ok;
      break;
    case kDone:
      done_ = true;
      break;
    default:
      break;
  }
  return Handle(event, ok);
}

void RpcCall::Begin() {
  received_ = call_context_->clock->Now();
  deadline_ = DeadlineOf(*context_);
  flow_ = door::FlowOf(*context_, *call_context_->connections);
  if (call_context_->trust_flow_header) TakeNamedFlow();
  if (call_context_->watches_jobs) TakeJobName();
  // At the end of the call its connection may have gone.
  if (observability::LogsRequests()) {
    peer_ = call_context_->connections->NameOf(context_->peer());
  }
  if (call_context_->spans != nullptr) {
    trace_ = BeginTrace(*context_, method_, received_);
  }
  call_context_->metrics->RecordCallAccepted(method_);
}

void RpcCall::TakeNamedFlow() {
  absl::StatusOr<door::NamedFlow> named = door::NamedFlowOf(*context_);
  if (!named.ok()) {
    naming_ = named.status();
  } else if (!named->name.empty()) {
    flow_ = named->flow;
    flow_name_ = std::move(named->name);
  }
}

void RpcCall::TakeJobName() {
  absl::StatusOr<std::string> name = door::JobNameOf(*context_);
  if (name.ok()) {
    job_name_ = *std::move(name);
  } else {
    naming_.Update(name.status());
  }
}

uint64_t RpcCall::JobNumber() const {
  return job_name_.empty() ? 0
                           : call_context_->metrics->jobs().names().NumberOf(
                                 job_name_, call_context_->clock->Now());
}

absl::Status RpcCall::CheckClient() {
  token_generation_ = call_context_->authenticator->generation();
  const absl::StatusOr<door::Permissions> granted =
      call_context_->authenticator->PermissionsOf(*context_);
  if (!granted.ok()) return granted.status();
  RETURN_IF_ERROR(door::Require(door::Permission::kCompute, *granted));
  may_share_ = granted->Has(door::Permission::kSharedMemory);
  return naming_;
}

absl::Status RpcCall::CheckClientAgain() {
  return call_context_->authenticator->generation() == token_generation_
             ? absl::OkStatus()
             : CheckClient();
}

absl::Duration RpcCall::ExpectedWait(absl::Time deadline) const {
  return deadline == absl::InfiniteFuture()
             ? absl::ZeroDuration()
             : call_context_->batcher->ExpectedWait(flow_);
}

grpc::Status RpcCall::Foresee(int64_t bytes) {
  admission::Refusal refusal{};
  const absl::Status foreseen = call_context_->admission->Check(
      bytes, flow_, deadline_, received_, ExpectedWait(deadline_), &refusal);
  return foreseen.ok() ? grpc::Status::OK
                       : AnswerTo(Refuse(foreseen, refusal, bytes));
}

grpc::Status RpcCall::RefuseForPlaces() {
  return AnswerTo(
      Refuse(absl::ResourceExhaustedError(
                 "too many calls wait for their message to be received"),
             admission::Refusal::kRequests, 0));
}

void RpcCall::LetOthersIn() {
  if (!call_context_->intake->waiting()) return;
  call_context_->intake->LetIn(call_context_->admission->inflight_bytes(),
                               call_context_->clock->Now());
}

absl::StatusOr<admission::Permit> RpcCall::TakePermit(int64_t bytes,
                                                      absl::Time deadline,
                                                      absl::Time now) {
  admission::Refusal refusal{};
  absl::StatusOr<admission::Permit> admitted = call_context_->admission->Admit(
      bytes, flow_, deadline, now, ExpectedWait(deadline), &refusal);
  if (!admitted.ok()) return Refuse(admitted.status(), refusal, bytes);
  return admitted;
}

grpc::Status RpcCall::Admit(int64_t bytes, absl::Time now) {
  absl::StatusOr<admission::Permit> permit = TakePermit(bytes, deadline_, now);
  if (!permit.ok()) return AnswerTo(permit.status());
  permit_ = *std::move(permit);
  return grpc::Status::OK;
}

absl::Status RpcCall::AdmitWaiting(int64_t bytes, size_t requests) {
  admission::Refusal refusal{};
  absl::StatusOr<admission::Permit> permit = call_context_->admission->Admit(
      bytes, flow_, absl::InfiniteFuture(), call_context_->clock->Now(),
      absl::ZeroDuration(), &refusal);
  if (permit.ok()) {
    permit_ = *std::move(permit);
    return absl::OkStatus();
  }
  for (size_t i = 1; i < requests; ++i) {
    call_context_->metrics->RecordRejection(Reason(refusal));
  }
  absl::Status why = permit.status();
  if (absl::IsResourceExhausted(why)) {
    why = absl::ResourceExhaustedError(
        absl::StrCat("no room for the ", requests,
                     " entries of the message that wait: ", why.message()));
  }
  return Refuse(why, refusal, /*bytes=*/0);
}

grpc::Status RpcCall::ChargeMore(int64_t bytes) {
  admission::Refusal refusal{};
  const absl::Status charged = permit_.Resize(bytes, &refusal);
  return charged.ok() ? grpc::Status::OK
                      : AnswerTo(Refuse(charged, refusal, bytes));
}

// A request that is larger than the whole budget is not told when to try again,
// because it never fits.
absl::Status RpcCall::Refuse(absl::Status why, admission::Refusal refusal,
                             int64_t bytes) const {
  call_context_->metrics->RecordRejection(Reason(refusal));
  if (absl::IsResourceExhausted(why) &&
      !call_context_->admission->NeverFits(bytes)) {
    // Refusals are rare enough for a generator each.
    absl::InsecureBitGen random;
    door::SetRetryDelay(
        door::RetryDelay(call_context_->batcher->ExpectedWait(flow_),
                         door::PreviousAttempts(*context_), random),
        &why);
  }
  return why;
}

grpc::Status RpcCall::AnswerTo(const absl::Status& refusal) {
  const std::optional<absl::Duration> delay = door::RetryDelayOf(refusal);
  return delay ? door::ToOverloadStatus(refusal, *delay, &*context_)
               : door::ToGrpcStatus(refusal, {});
}

void RpcCall::NoteAnswer(const grpc::Status& answer) {
  permit_.MarkAnswered();
  if (trace_ != nullptr) trace_->NoteAnswer(call_context_->clock->Now());
  if (cancelled_) return;  // the client got the answer of Cancel()
  code_ = static_cast<absl::StatusCode>(answer.error_code());
  KeepReason(answer);
}

void RpcCall::KeepReason(const grpc::Status& answer) {
  if (observability::LogsRequests() || trace_ != nullptr) {
    reason_ = answer.error_message();
  }
}

void RpcCall::Cancel(const grpc::Status& answer) {
  code_ = static_cast<absl::StatusCode>(answer.error_code());
  KeepReason(answer);
  cancelled_ = true;
  grpc_call_cancel_with_status(
      context_->c_call(), static_cast<grpc_status_code>(answer.error_code()),
      answer.error_message().c_str(), nullptr);
}

// It writes nothing that the thread which answers may write: kDone follows, and
// GoneStatus() then says why.
void RpcCall::OnSweep() {
  if (done_ || call_context_->clock->Now() < deadline_) return;
  grpc_call_cancel_with_status(context_->c_call(),
                               GRPC_STATUS_DEADLINE_EXCEEDED,
                               "the deadline passed", nullptr);
}

absl::Status RpcCall::GoneStatus() const {
  return call_context_->clock->Now() >= deadline_
             ? absl::DeadlineExceededError("the deadline passed")
             : absl::CancelledError("the client cancelled the request");
}

absl::StatusCode RpcCall::FinalCode() const {
  const bool seen = cancelled_ || (sent_ && !context_->IsCancelled());
  return seen ? code_ : GoneStatus().code();
}

void RpcCall::Log(absl::StatusCode code, absl::Duration latency) const {
  LogCall({.method = method_,
           .code = code,
           .latency = latency,
           .request_id = request_id(),
           .peer = peer_,
           .flow = flow_name_,
           .reason = ReasonOf(code),
           .trace_id = TraceIdOf(trace_.get()),
           .detail = LogDetail()});
}

void RpcCall::EndTrace(absl::StatusCode code, absl::Time now) {
  trace_->Add("lossd.request_id", std::string(request_id()));
  trace_->Add("lossd.flow", flow_name_);
  trace_->End(now, code, ReasonOf(code));
  std::unique_ptr<tracing::CallTrace> ended = std::move(trace_);
  // A client that is not let in does not write into anybody's traces, whatever
  // it has seen of that answer.
  if (code_ == absl::StatusCode::kUnauthenticated) return;
  call_context_->spans->OnEnd(std::move(ended));
}

void RpcCall::Reset() {
  const absl::Time now = call_context_->clock->Now();
  const absl::Duration latency = now - received_;
  const absl::StatusCode code = FinalCode();
  call_context_->metrics->RecordCallFinished(method_, code, latency);
  if (observability::LogsRequests()) Log(code, latency);
  if (trace_ != nullptr) EndTrace(code, now);
  Release(code);
  permit_ = admission::Permit();
  LetOthersIn();
  context_.reset();
  code_ = absl::StatusCode::kOk;
  naming_ = absl::OkStatus();
  flow_name_.clear();
  job_name_.clear();
  may_share_ = false;
  peer_.clear();
  reason_.clear();
  finished_ = done_ = sent_ = cancelled_ = false;
}

}  // namespace lossd::rpc
