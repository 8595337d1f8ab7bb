#include "server/rpc/compute_losses_call.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/stream_header.h"
#include "server/base/status_macros.h"
#include "server/door/status.h"
#include "server/observability/log.h"
#include "server/rpc/call_log.h"
#include "server/rpc/call_tracing.h"

namespace lossd::rpc {
namespace {

// With so much unanswered the stream is read no further; loss_service.proto
// tells clients. The bytes are what the permits stand for.
constexpr size_t kMaxUnanswered = 1024;
constexpr int64_t kMaxUnansweredBytes = int64_t{64} << 20;
// So many tasks stay for the next stream of this call.
constexpr size_t kKeptTasks = 8;
// So many entries of a message are computed before their answers are written.
// Fewer would cost more messages, and threads that wake each other.
constexpr size_t kGroupEntries = 24;

}  // namespace

ComputeLossesCall::ComputeLossesCall(const CallContext* call_context,
                                     LossService* service,
                                     grpc::ServerCompletionQueue* queue)
    : RpcCall(observability::Method::kComputeLossesStream, call_context),
      service_(service),
      queue_(queue),
      idle_alarm_(call_context->clock, call_context->stream_idle_limit, queue,
                  Tag{this, kIdle}),
      returns_(queue, Tag{this, kReturned}),
      open_(call_context, &returns_) {}

void ComputeLossesCall::RequestRpc() {
  stream_.emplace(&*context_);
  service_->RequestComputeLosses(&*context_, &*stream_, queue_, queue_,
                                 request_tag());
}

bool ComputeLossesCall::Handle(int event, bool ok) {
  switch (event) {
    case kRequest:
      OnRequest();
      break;
    case kGreeted:
      greeting_ = false;  // a client that is gone is told of by kDone
      break;
    case kRead:
      OnRead(ok);
      break;
    case kWritten:
      OnWritten(ok);
      break;
    case kReturned:
      OnReturned();
      break;
    case kIdle:
      OnIdle();
      break;
    case kDone:
      if (ending_ != Ending::kFinishing && context_->IsCancelled()) OnGone();
      break;
    default:  // kFinished
      break;
  }
  Advance();
  if (finished_ && done_) idle_alarm_.Cancel();
  return false;  // AcceptGroup() has run what is to run inline
}

void ComputeLossesCall::OnRequest() {
  idle_alarm_.Start();
  if (absl::Status status = CheckClient(); !status.ok()) return End(status);
  Greet();
}

void ComputeLossesCall::Greet() {
  context_->AddInitialMetadata(kMaxMessageBytesKey,
                               absl::StrCat(service_->max_message_bytes()));
  greeting_ = true;
  stream_->SendInitialMetadata(&greeted_tag_);
}

void ComputeLossesCall::OnRead(bool ok) {
  reading_ = ok ? Reading::kPaused : Reading::kClosed;
  if (!ok) return End(absl::OkStatus());
  if (ending_ != Ending::kOpen) return;
  if (absl::Status status = CheckClientAgain(); !status.ok()) {
    return End(status);
  }
  call_context_->metrics->RecordBytesReceived(
      static_cast<int64_t>(message_.Length()));
  absl::StatusOr<std::vector<wire::Entry>> entries =
      wire::ReadEntries(message_);
  message_.Clear();
  if (!entries.ok()) return End(entries.status());
  backlog_.Fill(*std::move(entries), call_context_->clock->Now());
  job_ = JobNumber();
}

// Tasks that come back meanwhile are settled together, without a detour through
// the queue. Small ones do, as they are computed here.
void ComputeLossesCall::AcceptGroup() {
  if (backlog_.empty()) return;
  const bool held = returns_.Hold();
  const size_t group_end = open_.tasks() + kGroupEntries;
  bool enqueued = false;
  while (!backlog_.empty() && open_.tasks() < group_end && !full()) {
    enqueued |= Accept(TakeWaiting());
  }
  if (enqueued) call_context_->batcher->RunInline(*call_context_->runner);
  if (held) OnReturned();
}

// The call's place among the requests goes back before the last entry is
// admitted, which may then be the only request of its flow.
wire::Entry ComputeLossesCall::TakeWaiting() {
  wire::Entry entry = backlog_.Take();
  if (backlog_.empty()) {
    permit_ = admission::Permit();
  } else if (permit_.held()) {
    permit_.ShrinkTo(backlog_.bytes());
  }
  return entry;
}

void ComputeLossesCall::ChargeWaiting() {
  const bool settled = permit_.held() || !backlog_.refusal().ok();
  if (backlog_.empty() || settled) return;
  const absl::Status charged = AdmitWaiting(backlog_.bytes(), backlog_.size());
  if (charged.ok()) return;
  backlog_.Refuse(charged);
  // The server drains, so the client goes elsewhere with the next entries.
  if (absl::IsUnavailable(charged)) End(charged);
}

bool ComputeLossesCall::Accept(wire::Entry entry) {
  ++entries_;
  call_context_->metrics->RecordCallAccepted(
      observability::Method::kComputeLosses);
  EntryAnswer failure{
      .id = entry.id,
      .received = backlog_.arrived(),
      .trace = BeginEntryTrace(trace_.get(), entry.id, backlog_.arrived())};
  if (entry.id == 0) {
    Fail(std::move(failure),
         absl::InvalidArgumentError("id: absent or 0; an entry needs one"));
    return false;
  }
  EntryTask* const task = open_.Open(entry.id);
  if (task == nullptr) {
    Fail(std::move(failure),
         absl::InvalidArgumentError(
             absl::StrCat("id: ", entry.id,
                          " is that of an entry which is not answered yet")));
    return false;
  }
  task->received = backlog_.arrived();
  task->trace = std::move(failure.trace);
  if (const absl::Status begun = Begin(std::move(entry), task); !begun.ok()) {
    failure.holds_id = true;
    failure.request_id = KeptText(task->computation.request_id());
    failure.trace = std::move(task->trace);
    open_.EndTask(task->id);
    Fail(std::move(failure), begun);
    return false;
  }
  call_context_->batcher->Enqueue(task, /*may_run_inline=*/true);
  return true;
}

absl::Status ComputeLossesCall::Begin(wire::Entry entry, EntryTask* task) {
  RETURN_IF_ERROR(backlog_.refusal());
  const absl::StatusOr<absl::Duration> timeout = wire::TimeoutOf(entry);
  if (!timeout.ok()) return timeout.status();
  task->deadline = std::min(deadline_, task->received + *timeout);
  task->flow = flow_;
  task->job = job_;
  RETURN_IF_ERROR(task->computation.Read(std::move(entry.request), may_share_));
  TraceRequest(task->computation.segment(), task->trace.get());
  // The entry may have waited as bytes since it arrived.
  const absl::Time now = task->deadline == absl::InfiniteFuture()
                             ? task->received
                             : call_context_->clock->Now();
  absl::StatusOr<admission::Permit> permit =
      TakePermit(task->computation.ChargedBytes(), task->deadline, now);
  if (!permit.ok()) {
    if (absl::IsUnavailable(permit.status())) End(permit.status());
    return permit.status();
  }
  absl::StatusOr<kernels::Segment> segment = task->computation.Start();
  if (!segment.ok()) return segment.status();
  task->segment = *segment;
  task->loss_weight = segment->options.loss_weight;
  task->permit = *std::move(permit);
  held_bytes_ += task->permit.bytes();
  return absl::OkStatus();
}

void ComputeLossesCall::Fail(EntryAnswer answer, const absl::Status& why) {
  if (answer.trace != nullptr) {
    answer.trace->NoteAnswer(call_context_->clock->Now());
  }
  answer.code = why.code();
  answer.reason = KeptText(why.message());
  answer.bytes = FailureEntry(answer.id, why, answer.request_id);
  outbox_.Add(std::move(answer));
}

void ComputeLossesCall::OnReturned() {
  returns_.TakeAll([this](EntryTask* task) { Settle(task); });
}

void ComputeLossesCall::Settle(EntryTask* task) {
  EntryAnswer answer{.id = task->id,
                     .holds_id = true,
                     .received = task->received,
                     .request_id = KeptText(task->computation.request_id()),
                     .permit = std::move(task->permit),
                     .trace = std::move(task->trace)};
  absl::Status status = task->outcome();
  if (status.ok()) {
    TraceTask(*task, task->computed(), answer.trace.get());
  } else {
    TraceDropped(*task, answer.trace.get());
  }
  if (status.ok() && call_context_->clock->Now() >= task->deadline) {
    status = absl::DeadlineExceededError(
        "the deadline passed before the answer was there");
  }
  if (status.ok()) {
    absl::StatusOr<wire::SlicedMessage> response = task->computation.Answer(
        task->segment, task->computed(), task->received);
    status = response.status();
    if (response.ok()) {
      answer.bytes = ResponseEntry(answer.id, *std::move(response));
    }
  }
  open_.EndTask(answer.id);
  if (!status.ok()) return Fail(std::move(answer), status);
  outbox_.Add(std::move(answer));
}

void ComputeLossesCall::OnWritten(bool ok) {
  idle_alarm_.Touch();
  if (!ok) OnGone();
  for (EntryAnswer& answer : outbox_.in_message()) {
    CountAnswer(answer, ok ? answer.code : GoneStatus().code());
  }
  outbox_.EndMessage();
  LetOthersIn();
}

void ComputeLossesCall::CountAnswer(EntryAnswer& answer,
                                    absl::StatusCode code) {
  held_bytes_ -= answer.permit.bytes();
  const absl::Time now = call_context_->clock->Now();
  const absl::Duration latency = now - answer.received;
  call_context_->metrics->RecordCallFinished(
      observability::Method::kComputeLosses, code, latency);
  if (observability::LogsRequests()) {
    LogCall({.method = observability::Method::kComputeLosses,
             .code = code,
             .latency = latency,
             .request_id = answer.request_id,
             .peer = call_context_->connections->NameOf(context_->peer()),
             .flow = flow_name_,
             .reason = answer.reason,
             .trace_id = TraceIdOf(answer.trace.get())});
  }
  if (answer.trace == nullptr) return;
  answer.trace->Add("lossd.request_id", answer.request_id);
  answer.trace->End(now, code, answer.reason);
  call_context_->spans->OnEnd(std::move(answer.trace));
}

void ComputeLossesCall::OnGone() {
  if (std::exchange(gone_, true)) return;
  const absl::Status gone = GoneStatus();
  End(gone);
  for (EntryTask* task : open_.RemoveFromQueue()) {
    task->Drop(gone);
    Settle(task);
  }
}

void ComputeLossesCall::OnIdle() {
  if (finished_ && done_) return idle_alarm_.Drop();
  if (outbox_.empty() && open_.tasks() == 0) GiveMemoryBack(0);
  // A client may be silent as long as it likes, but has to take its answers. It
  // does so while a part of a large one goes out.
  const bool takes_answers = outbox_.HasMoved() || outbox_.empty();
  if (!idle_alarm_.OnTag(/*excused=*/takes_answers)) return;
  const absl::Status idle = absl::DeadlineExceededError(absl::StrCat(
      "the client has not read its answers for ",
      absl::FormatDuration(idle_alarm_.limit()), " (--stream_idle_timeout)"));
  End(idle);
  // Finish would wait behind a message that the client does not read.
  Cancel(door::ToGrpcStatus(idle, ""));
}

void ComputeLossesCall::Advance() {
  if (gone_) DropAnswers();
  do {
    AcceptGroup();
    if (outbox_.has_ready() && !outbox_.writing()) WriteAnswers();
  } while (!outbox_.writing() && !backlog_.empty() && !full());
  ChargeWaiting();
  if (!backlog_.empty()) return;
  if (ending_ == Ending::kDecided && open_.tasks() == 0 && outbox_.empty()) {
    Finish();
  }
  if (ending_ == Ending::kOpen && reading_ == Reading::kPaused && !full()) {
    reading_ = Reading::kReading;
    stream_->Read(&message_, &read_tag_);
  }
}

void ComputeLossesCall::DropAnswers() {
  for (EntryAnswer& answer : outbox_.TakeReady()) {
    CountAnswer(answer, GoneStatus().code());
  }
  backlog_.Clear();
  permit_ = admission::Permit();
  LetOthersIn();
}

void ComputeLossesCall::WriteAnswers() {
  const grpc::ByteBuffer message = outbox_.NextMessage();
  for (const EntryAnswer& answer : outbox_.in_message()) {
    if (answer.holds_id) open_.Close(answer.id);
  }
  call_context_->metrics->RecordBytesSent(
      static_cast<int64_t>(message.Length()));
  idle_alarm_.Touch();  // from now on the client owes reading
  stream_->Write(message, &written_tag_);
}

void ComputeLossesCall::End(const absl::Status& status) {
  if (ending_ != Ending::kOpen) return;
  ending_ = Ending::kDecided;
  end_ = status;
}

void ComputeLossesCall::Finish() {
  ending_ = Ending::kFinishing;
  const grpc::Status answer = door::ToGrpcStatus(end_, "");
  if (trace_ != nullptr) trace_->Add("lossd.entry_count", entries_);
  NoteAnswer(answer);
  stream_->Finish(answer, finished_tag());
}

bool ComputeLossesCall::full() const {
  return open_.tasks() + outbox_.size() >= kMaxUnanswered ||
         held_bytes_ >= kMaxUnansweredBytes;
}

void ComputeLossesCall::GiveMemoryBack(size_t kept_tasks) {
  open_.GiveMemoryBack(kept_tasks);
  if (!outbox_.writing()) outbox_.GiveMemoryBack();
}

std::string ComputeLossesCall::LogDetail() const {
  return absl::StrCat(" of ", entries_, " entries");
}

bool ComputeLossesCall::ended() const {
  return RpcCall::ended() && !greeting_ && reading_ != Reading::kReading &&
         !outbox_.writing() && open_.tasks() == 0 && !idle_alarm_.pending();
}

void ComputeLossesCall::Release(absl::StatusCode /*code*/) {
  backlog_.Clear();
  GiveMemoryBack(kKeptTasks);
  open_.Clear();
  message_.Clear();
  stream_.reset();
  held_bytes_ = 0;
  entries_ = 0;
  job_ = 0;
  reading_ = Reading::kPaused;
  ending_ = Ending::kOpen;
  end_ = absl::OkStatus();
  gone_ = false;
}

}  // namespace lossd::rpc
