#include "client/cpp/retries.h"

#include <algorithm>

#include "absl/random/random.h"
#include "base/steady_time.h"
#include "client/cpp/call_status.h"

namespace lossd::client {
namespace {

// These are those of the service config.
constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr absl::Duration kLongestDelay = absl::Seconds(1);
constexpr double kTokensOfAnswer = 0.2;
// gRPC's jitter, on either side.
constexpr double kJitter = 0.2;

// Returns the delay after a failed attempt, or nothing if another one has no
// sense.
std::optional<absl::Duration> Backoff(const absl::Status& error, int attempts) {
  if (!absl::IsUnavailable(error) && !absl::IsResourceExhausted(error)) {
    return std::nullopt;
  }
  // A refusal without a delay is one for good, such as that of a message that
  // is too large.
  if (const auto asked = RetryAfter(error); asked.has_value()) return asked;
  if (!absl::IsUnavailable(error)) return std::nullopt;
  thread_local absl::InsecureBitGen random;
  const double jitter = absl::Uniform(random, 1 - kJitter, 1 + kJitter);
  return jitter * std::min(kFirstDelay * (1 << (attempts - 1)), kLongestDelay);
}

}  // namespace

// A failed attempt takes a token of the throttle, and below half of them
// nothing is retried.
const char kSeveralServers[] = R"({
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": "lossd.v1.LossService"},
  "methodConfig": [{
    "name": [
      {"service": "lossd.v1.LossService", "method": "ComputeLoss"},
      {"service": "lossd.v1.LossService", "method": "GetServerInfo"}
    ],
    "retryPolicy": {
      "maxAttempts": 5,
      "initialBackoff": "0.1s",
      "maxBackoff": "1s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]
    }
  }],
  "retryThrottling": {"maxTokens": 500, "tokenRatio": 0.2}
})";

void Retries::Answered(int64_t count) {
  absl::MutexLock lock(&mu_);
  tokens_ = std::min(tokens_ + static_cast<double>(count) * kTokensOfAnswer,
                     kMostTokens);
}

std::optional<absl::Duration> Retries::DelayUnsent(const absl::Status& error,
                                                   int attempts,
                                                   absl::Time deadline) {
  if (attempts >= kMostAttempts) return std::nullopt;
  const std::optional<absl::Duration> delay = Backoff(error, attempts);
  if (!delay.has_value() || SteadyNow() + *delay >= deadline) {
    return std::nullopt;
  }
  return delay;
}

std::optional<absl::Duration> Retries::Delay(const absl::Status& error,
                                             int attempts,
                                             absl::Time deadline) {
  const std::optional<absl::Duration> delay =
      DelayUnsent(error, attempts, deadline);
  if (!delay.has_value()) return std::nullopt;
  absl::MutexLock lock(&mu_);
  if (tokens_ < 1) return std::nullopt;
  --tokens_;
  return delay;
}

}  // namespace lossd::client
