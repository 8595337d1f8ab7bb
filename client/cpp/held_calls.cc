#include "client/cpp/held_calls.h"

#include <algorithm>
#include <utility>

#include "base/steady_time.h"

namespace lossd::client {

bool HeldCalls::Hold(const std::shared_ptr<SessionCall>& call) {
  if (call->IsFree(queue_)) return false;
  calls_.emplace(call->tag(), Held{call, SteadyNow()});
  return true;
}

std::shared_ptr<SessionCall> HeldCalls::Take(void* tag) {
  const auto found = calls_.find(tag);
  if (found == calls_.end()) return nullptr;
  std::shared_ptr<SessionCall> call = std::move(found->second.call);
  calls_.erase(found);
  return call;
}

absl::Time HeldCalls::HeldSince(uint64_t stream) const {
  absl::Time first = absl::InfiniteFuture();
  for (const auto& [tag, held] : calls_) {
    if (held.call->stream == stream) first = std::min(first, held.since);
  }
  return first;
}

}  // namespace lossd::client
