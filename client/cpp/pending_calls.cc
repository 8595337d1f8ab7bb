#include "client/cpp/pending_calls.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/steady_time.h"

namespace lossd::client {
namespace {

// An entry may have this many bytes beside those of its request.
constexpr int64_t kExtraBytes = EntryWriter::kMostExtraBytes;

absl::Status TooLarge(int64_t bytes, int64_t most_bytes) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "the request has ", bytes,
      " bytes; the server takes messages of at most ", most_bytes, " bytes"));
}

}  // namespace

absl::Status PendingCalls::Add(const Call& call) {
  const auto bound = static_cast<size_t>(options_.max_waiting);
  if (waiting_.size() + postponed_.size() >= bound) {
    std::erase_if(waiting_, [](const Call& other) { return other->over; });
  }
  if (waiting_.size() + postponed_.size() >= bound) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting_.size() + postponed_.size(),
                     " requests of the session wait to be sent "
                     "(SessionOptions::max_waiting)"));
  }
  call->id = next_id_++;
  waiting_.push_back(call);
  if (call->deadline != absl::InfiniteFuture()) {
    deadlines_.emplace(std::pair(call->deadline, call->id), call);
  }
  return absl::OkStatus();
}

bool PendingCalls::Waits(int64_t most_bytes) {
  for (; !waiting_.empty(); waiting_.pop_front()) {
    const Call& call = waiting_.front();
    if (call->over) continue;
    if (call->bytes <= most_bytes - kExtraBytes) return true;
    End(call, TooLarge(call->bytes, most_bytes));
  }
  return false;
}

bool PendingCalls::Fits(const EntryWriter& message, int64_t most_bytes) const {
  return message.entries() < options_.max_message_entries &&
         static_cast<int64_t>(message.bytes()) + kExtraBytes +
                 waiting_.front()->bytes <=
             std::min(options_.max_message_bytes, most_bytes);
}

grpc::ByteBuffer PendingCalls::NextMessage(uint64_t stream,
                                           int64_t most_bytes) {
  EntryWriter message;
  const absl::Time now =
      deadlines_.empty() ? absl::InfinitePast() : SteadyNow();
  do {
    const Call call = std::move(waiting_.front());
    waiting_.pop_front();
    MessagePieces request;
    if (retries_ == nullptr) {
      request = std::exchange(call->request, {});
    } else {
      request = call->request;  // shares the tensors, for another attempt
    }
    message.Add(call->id, std::move(request), call->deadline - now);
    call->stream = stream;
    unanswered_bytes_ += call->bytes;
    unanswered_.emplace(call->id, call);
  } while (HasRoom() && Waits(most_bytes) && Fits(message, most_bytes));
  return message.Finish();
}

PendingCalls::Call PendingCalls::Answer(uint64_t id) {
  const auto found = unanswered_.find(id);
  if (found == unanswered_.end()) return nullptr;
  Call call = std::move(found->second);
  unanswered_.erase(found);
  unanswered_bytes_ -= call->bytes;
  call->stream = 0;  // the server has read it, whatever gRPC still holds
  return Decide(call.get()) ? call : nullptr;
}

bool PendingCalls::AnswerLater(uint64_t id, const absl::Status& why) {
  const auto found = unanswered_.find(id);
  if (found == unanswered_.end()) return false;
  if (!Postpone(found->second, why, /*sent=*/true)) return false;
  unanswered_bytes_ -= found->second->bytes;
  unanswered_.erase(found);
  return true;
}

bool PendingCalls::HasUnanswered(uint64_t stream) const {
  return std::any_of(
      unanswered_.begin(), unanswered_.end(),
      [stream](const auto& call) { return call.second->stream == stream; });
}

bool PendingCalls::Postpone(const Call& call, const absl::Status& why,
                            bool sent) {
  if (retries_ == nullptr || call->over) return false;
  const std::optional<absl::Duration> delay =
      sent ? retries_->Delay(why, call->attempts, call->deadline)
           : retries_->DelayUnsent(why, call->attempts, call->deadline);
  if (!delay.has_value()) return false;
  ++call->attempts;
  postponed_.emplace(SteadyNow() + *delay, call);
  return true;
}

void PendingCalls::Resume(absl::Time now) {
  while (!postponed_.empty() && postponed_.begin()->first <= now) {
    waiting_.push_back(std::move(postponed_.begin()->second));
    postponed_.erase(postponed_.begin());
  }
}

void PendingCalls::End(const Call& call, absl::Status why) {
  if (!Decide(call.get())) return;
  call->Fail(std::move(why));
  ended_.push_back(call);
}

void PendingCalls::EndAll(const absl::Status& why) {
  for (const Call& call : waiting_) End(call, why);
  waiting_.clear();
  for (const auto& [time, call] : postponed_) End(call, why);
  postponed_.clear();
  for (const auto& [id, call] : unanswered_) End(call, why);
}

void PendingCalls::LoseWaiting(const absl::Status& why) {
  for (const Call& call : waiting_) {
    if (!Postpone(call, why, /*sent=*/false)) End(call, why);
  }
  waiting_.clear();
}

void PendingCalls::LoseUnanswered(uint64_t stream, const absl::Status& why) {
  absl::erase_if(unanswered_, [&](const auto& unanswered) {
    const Call& call = unanswered.second;
    if (call->stream != stream) return false;
    if (!Postpone(call, why, /*sent=*/true)) End(call, why);
    unanswered_bytes_ -= call->bytes;
    return true;
  });
}

void PendingCalls::EndExpired(absl::Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    const Call call = deadlines_.begin()->second;
    End(call, absl::DeadlineExceededError("the deadline passed"));
  }
}

bool PendingCalls::Decide(SessionCall* call) {
  if (std::exchange(call->over, true)) return false;
  call->request = {};  // gives back tensors that were not sent
  if (call->deadline != absl::InfiniteFuture()) {
    deadlines_.erase(std::pair(call->deadline, call->id));
  }
  return true;
}

}  // namespace lossd::client
