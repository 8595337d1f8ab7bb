#include "server/rpc/compute_losses_call.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"
#include "server/door/status.h"
#include "server/observability/log.h"
#include "server/rpc/call_log.h"

namespace lossd::rpc {
namespace {

// With so much unanswered the stream is read no further; loss_service.proto
// tells clients. The bytes are what the permits stand for.
constexpr size_t kMaxUnanswered = 1024;
constexpr int64_t kMaxUnansweredBytes = int64_t{64} << 20;
// A message of answers is closed when it has so many bytes: clients refuse
// messages of more than 4 MiB unless they are told otherwise.
constexpr size_t kFullMessageBytes = size_t{1} << 20;
constexpr size_t kMaxReservedBytes = size_t{64} << 10;
constexpr size_t kMaxSpareTasks = 128;
// So many of them stay for the next stream of this call.
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
      returns_(queue, Tag{this, kReturned}) {}

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
  return false;  // RunInline() has run what is to run inline
}

void ComputeLossesCall::OnRequest() {
  idle_alarm_.Start();
  if (absl::Status status = CheckClient(); !status.ok()) End(status);
}

void ComputeLossesCall::OnRead(bool ok) {
  reading_ = ok ? Reading::kPaused : Reading::kClosed;
  if (!ok) return End(absl::OkStatus());
  if (ending_ != Ending::kOpen) return;
  call_context_->metrics->RecordBytesReceived(
      static_cast<int64_t>(message_.Length()));
  absl::StatusOr<std::vector<wire::Entry>> entries =
      wire::ReadEntries(message_);
  message_.Clear();
  if (!entries.ok()) return End(entries.status());
  arrived_ = call_context_->clock->Now();
  waiting_ = *std::move(entries);
  next_waiting_ = 0;
}

void ComputeLossesCall::AcceptWaiting() {
  const size_t group_end = in_flight_ + kGroupEntries;
  while (next_waiting_ < waiting_.size() && in_flight_ < group_end && !full()) {
    Accept(std::move(waiting_[next_waiting_++]));
  }
  if (next_waiting_ == waiting_.size()) ForgetWaiting();
  if (std::exchange(enqueued_, false)) RunInline();
}

// Small entries are computed here and now, so their answers go out together
// without a detour through the queue.
void ComputeLossesCall::RunInline() {
  const bool held = returns_.Hold();
  call_context_->batcher->RunInline(*call_context_->runner);
  if (held) OnReturned();
}

void ComputeLossesCall::ForgetWaiting() {
  waiting_ = std::vector<wire::Entry>();
  next_waiting_ = 0;
}

void ComputeLossesCall::Accept(wire::Entry entry) {
  ++entries_;
  call_context_->metrics->RecordCallAccepted(
      observability::Method::kComputeLosses);
  EntryAnswer failure{.id = entry.id, .received = arrived_};
  if (entry.id == 0) {
    return Fail(std::move(failure), absl::InvalidArgumentError(
                                        "id: absent or 0; an entry needs one"));
  }
  const auto [place, is_new] = unanswered_.try_emplace(entry.id);
  if (!is_new) {
    return Fail(std::move(failure),
                absl::InvalidArgumentError(absl::StrCat(
                    "id: ", entry.id,
                    " is that of an entry which is not answered yet")));
  }
  std::unique_ptr<EntryTask> task = TakeTask();
  task->id = entry.id;
  task->received = arrived_;
  const absl::Status begun = Begin(std::move(entry), task.get());
  if (!begun.ok()) {
    failure.holds_id = true;
    failure.request_id = std::string(task->computation.request_id());
    PutTask(std::move(task));
    return Fail(std::move(failure), begun);
  }
  place->second = std::move(task);
  ++in_flight_;
  enqueued_ = true;
  call_context_->batcher->Enqueue(place->second.get(), /*may_run_inline=*/true);
}

void ComputeLossesCall::Fail(EntryAnswer answer, const absl::Status& why) {
  answer.code = why.code();
  answer.reason = std::string(why.message());
  answer.bytes = FailureEntry(answer.id, why, answer.request_id);
  AddAnswer(std::move(answer));
}

absl::Status ComputeLossesCall::Begin(wire::Entry entry, EntryTask* task) {
  const absl::StatusOr<absl::Duration> timeout = wire::TimeoutOf(entry);
  if (!timeout.ok()) return timeout.status();
  task->deadline = std::min(deadline_, task->received + *timeout);
  task->flow = flow_;
  RETURN_IF_ERROR(task->computation.Read(std::move(entry.request)));
  // The entry may have waited as bytes since it arrived.
  const absl::Time now = task->deadline == absl::InfiniteFuture()
                             ? task->received
                             : call_context_->clock->Now();
  absl::StatusOr<admission::Permit> permit =
      TakePermit(task->computation.ChargedBytes(), task->deadline, now);
  if (!permit.ok()) {
    // The server drains, so the client goes elsewhere with the next entries.
    if (absl::IsUnavailable(permit.status())) End(permit.status());
    return permit.status();
  }
  absl::StatusOr<kernels::Segment> segment = task->computation.Start();
  if (!segment.ok()) return segment.status();
  task->segment = *segment;
  task->permit = *std::move(permit);
  held_bytes_ += task->permit.bytes();
  return absl::OkStatus();
}

void ComputeLossesCall::OnReturned() {
  for (EntryTask* task = returns_.TakeAll(); task != nullptr;) {
    Settle(std::exchange(task, task->next));
  }
}

void ComputeLossesCall::Settle(EntryTask* task) {
  --in_flight_;
  EntryAnswer answer{.id = task->id,
                     .holds_id = true,
                     .received = task->received,
                     .request_id = std::string(task->computation.request_id()),
                     .permit = std::move(task->permit)};
  absl::Status status = task->outcome();
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
  PutTask(std::move(unanswered_[answer.id]));
  if (!status.ok()) return Fail(std::move(answer), status);
  AddAnswer(std::move(answer));
}

// The client may act on an answer before kWritten, hence the permit is marked
// as answered before Write.
void ComputeLossesCall::AddAnswer(EntryAnswer answer) {
  answer.permit.MarkAnswered();
  ready_.push_back(std::move(answer));
}

void ComputeLossesCall::OnWritten(bool ok) {
  idle_alarm_.Touch();
  writing_ = false;
  if (!ok) OnGone();
  for (const EntryAnswer& answer : writing_answers_) {
    CountAnswer(answer, ok ? answer.code : GoneStatus().code());
  }
  writing_answers_.clear();
  LetOthersIn();
}

void ComputeLossesCall::CountAnswer(const EntryAnswer& answer,
                                    absl::StatusCode code) {
  held_bytes_ -= answer.permit.bytes();
  const absl::Duration latency = call_context_->clock->Now() - answer.received;
  call_context_->metrics->RecordCallFinished(
      observability::Method::kComputeLosses, code, latency);
  if (!observability::LogsRequests()) return;
  LogCall({.method = observability::Method::kComputeLosses,
           .code = code,
           .latency = latency,
           .request_id = answer.request_id,
           .peer = call_context_->connections->NameOf(context_->peer()),
           .flow = flow_name_,
           .reason = answer.reason});
}

void ComputeLossesCall::OnGone() {
  if (std::exchange(gone_, true)) return;
  const absl::Status gone = GoneStatus();
  End(gone);
  std::vector<EntryTask*> removed;
  for (const auto& [id, task] : unanswered_) {
    if (task != nullptr && call_context_->batcher->Remove(task.get())) {
      removed.push_back(task.get());
    }
  }
  for (EntryTask* task : removed) {
    task->Drop(gone);
    Settle(task);
  }
}

void ComputeLossesCall::OnIdle() {
  if (finished_ && done_) return idle_alarm_.Drop();
  // A client may be silent as long as it likes, but has to take its answers.
  const bool owes_nothing = !writing_ && ready_.empty();
  if (owes_nothing && in_flight_ == 0) GiveMemoryBack(0);
  if (!idle_alarm_.OnTag(/*excused=*/owes_nothing)) return;
  const absl::Status idle = absl::DeadlineExceededError(absl::StrCat(
      "the client has not read its answers for ",
      absl::FormatDuration(idle_alarm_.limit()), " (--stream_idle_timeout)"));
  End(idle);
  // Finish would wait behind a message that the client does not read.
  Cancel(door::ToGrpcStatus(idle, ""));
}

void ComputeLossesCall::Advance() {
  if (gone_) {
    for (const EntryAnswer& answer : ready_) {
      CountAnswer(answer, GoneStatus().code());
    }
    ready_.clear();
    ForgetWaiting();
  }
  do {
    AcceptWaiting();
    if (!writing_ && !ready_.empty()) WriteAnswers();
  } while (!writing_ && !waiting_.empty() && !full());
  if (ending_ == Ending::kDecided && waiting_.empty() && in_flight_ == 0 &&
      ready_.empty() && !writing_) {
    ending_ = Ending::kFinishing;
    const grpc::Status answer = door::ToGrpcStatus(end_, "");
    NoteAnswer(answer);
    stream_->Finish(answer, finished_tag());
  }
  if (ending_ == Ending::kOpen && reading_ == Reading::kPaused &&
      waiting_.empty() && !full()) {
    reading_ = Reading::kReading;
    stream_->Read(&message_, &read_tag_);
  }
}

void ComputeLossesCall::WriteAnswers() {
  wire::SlicedMessage message;
  size_t bytes_ready = 0;
  for (const EntryAnswer& answer : ready_) bytes_ready += answer.bytes.bytes();
  message.Reserve(std::min(bytes_ready, kMaxReservedBytes));
  // The first answer may be larger than a full message.
  while (!ready_.empty() && (message.bytes() == 0 ||
                             message.bytes() + ready_.front().bytes.bytes() <=
                                 kFullMessageBytes)) {
    EntryAnswer& answer = ready_.front();
    if (answer.holds_id) unanswered_.erase(answer.id);
    message.Append(std::move(answer.bytes));
    writing_answers_.push_back(std::move(answer));
    ready_.pop_front();
  }
  const grpc::ByteBuffer bytes = message.Finish();
  call_context_->metrics->RecordBytesSent(static_cast<int64_t>(bytes.Length()));
  writing_ = true;
  idle_alarm_.Touch();  // from now on the client owes reading
  stream_->Write(bytes, &written_tag_);
}

void ComputeLossesCall::End(const absl::Status& status) {
  if (ending_ != Ending::kOpen) return;
  ending_ = Ending::kDecided;
  end_ = status;
}

bool ComputeLossesCall::full() const {
  return in_flight_ + ready_.size() + writing_answers_.size() >=
             kMaxUnanswered ||
         held_bytes_ >= kMaxUnansweredBytes;
}

std::unique_ptr<EntryTask> ComputeLossesCall::TakeTask() {
  if (spare_tasks_.empty()) {
    return std::make_unique<EntryTask>(call_context_, &returns_);
  }
  std::unique_ptr<EntryTask> task = std::move(spare_tasks_.back());
  spare_tasks_.pop_back();
  return task;
}

void ComputeLossesCall::PutTask(std::unique_ptr<EntryTask> task) {
  task->Clear();
  if (spare_tasks_.size() < kMaxSpareTasks) {
    spare_tasks_.push_back(std::move(task));
  }
}

void ComputeLossesCall::GiveMemoryBack(size_t kept_tasks) {
  if (spare_tasks_.size() > kept_tasks) spare_tasks_.resize(kept_tasks);
  if (writing_answers_.empty()) writing_answers_ = std::vector<EntryAnswer>();
}

std::string ComputeLossesCall::LogDetail() const {
  return absl::StrCat(" of ", entries_, " entries");
}

bool ComputeLossesCall::ended() const {
  return RpcCall::ended() && reading_ != Reading::kReading && !writing_ &&
         in_flight_ == 0 && !idle_alarm_.pending();
}

void ComputeLossesCall::Release(absl::StatusCode /*code*/) {
  ForgetWaiting();
  GiveMemoryBack(kKeptTasks);
  unanswered_.clear();
  message_.Clear();
  stream_.reset();
  held_bytes_ = 0;
  entries_ = 0;
  reading_ = Reading::kPaused;
  ending_ = Ending::kOpen;
  end_ = absl::OkStatus();
  gone_ = false;
}

}  // namespace lossd::rpc
