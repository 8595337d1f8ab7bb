#include "client/cpp/pending_calls.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

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
  if (waiting_.size() >= bound) {
    std::erase_if(waiting_, [](const Call& other) { return other->over; });
  }
  if (waiting_.size() >= bound) {
    return absl::ResourceExhaustedError(
        absl::StrCat(waiting_.size(),
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
      deadlines_.empty() ? absl::InfinitePast() : absl::Now();
  do {
    const Call call = std::move(waiting_.front());
    waiting_.pop_front();
    message.Add(call->id, std::move(call->request), call->deadline - now);
    call->request = {};
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
  return Decide(call.get()) ? call : nullptr;
}

void PendingCalls::End(const Call& call, absl::Status why) {
  if (!Decide(call.get())) return;
  call->Fail(std::move(why));
  ended_.push_back(call);
}

void PendingCalls::EndWaiting(const absl::Status& why) {
  for (const Call& call : waiting_) End(call, why);
  waiting_.clear();
}

void PendingCalls::EndUnanswered(const absl::Status& why) {
  for (const auto& [id, call] : unanswered_) End(call, why);
}

void PendingCalls::EndExpired(absl::Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first.first <= now) {
    const Call call = deadlines_.begin()->second;
    End(call, absl::DeadlineExceededError("the deadline passed"));
  }
}

void PendingCalls::ForgetUnanswered() {
  unanswered_.clear();
  unanswered_bytes_ = 0;
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
