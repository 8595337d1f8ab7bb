#include "server/door/retry_delay.h"

#include <algorithm>
#include <string>

#include "absl/random/random.h"
#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace lossd::door {
namespace {

constexpr absl::Duration kFirstBackoff = absl::Milliseconds(100);
// 100 ms doubled so often are beyond kMaxRetryDelay.
constexpr int kMostDoublings = 7;
constexpr absl::string_view kRetryDelay = "lossd.retry_delay";

}  // namespace

absl::Duration RetryDelay(absl::Duration expected_wait, int previous_attempts,
                          absl::BitGenRef random) {
  const int doublings = std::clamp(previous_attempts, 0, kMostDoublings);
  const absl::Duration delay = expected_wait < kMinRetryDelay
                                   ? kFirstBackoff * (1 << doublings)
                                   : std::min(expected_wait, kMaxRetryDelay);
  return std::clamp(delay * absl::Uniform(random, 0.8, 1.2), kMinRetryDelay,
                    kMaxRetryDelay);
}

int PreviousAttempts(const grpc::ServerContext& context) {
  const auto found =
      context.client_metadata().find("grpc-previous-rpc-attempts");
  if (found == context.client_metadata().end()) return 0;
  const grpc::string_ref text = found->second;
  int attempts = 0;
  const bool is_number =
      absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &attempts);
  return is_number ? std::max(attempts, 0) : 0;
}

void SetRetryDelay(absl::Duration delay, absl::Status* refusal) {
  refusal->SetPayload(kRetryDelay, absl::Cord(absl::FormatDuration(delay)));
}

std::optional<absl::Duration> RetryDelayOf(const absl::Status& refusal) {
  const auto payload = refusal.GetPayload(kRetryDelay);
  absl::Duration delay;
  if (!payload || !absl::ParseDuration(std::string(*payload), &delay)) {
    return std::nullopt;
  }
  return delay;
}

}  // namespace lossd::door
