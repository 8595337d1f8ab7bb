// The retries of a client of several servers (D90).
#ifndef LOSSD_CLIENT_CPP_RETRIES_H_
#define LOSSD_CLIENT_CPP_RETRIES_H_

#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lossd::client {

// gRPC's service config of a channel to several servers: round robin, health
// watching, and retries of unary calls. Streams are left to Retries.
extern const char kSeveralServers[];

// Decides what of StreamLoss and of sessions is sent again, as gRPC decides for
// unary calls. gRPC retries no stream from which an answer has come. One object
// serves a client: its budget limits what is sent again to a fifth of what is
// answered, beside a first burst of 4,096. Thread-safe.
class Retries {
 public:
  // gRPC makes no more attempts, whatever its policy says.
  static constexpr int kMostAttempts = 5;

  void Answered(int64_t count = 1);

  // Returns the delay after which a request that has failed with `error` in its
  // attempt number `attempts` is sent again, or nothing to report the error.
  std::optional<absl::Duration> Delay(const absl::Status& error, int attempts,
                                      absl::Time deadline);
  // As Delay(), for a request that no server was given. To send it loads none
  // a second time, so it takes nothing of the budget.
  static std::optional<absl::Duration> DelayUnsent(const absl::Status& error,
                                                   int attempts,
                                                   absl::Time deadline);

 private:
  static constexpr double kMostTokens = 4096;

  absl::Mutex mu_;
  // A request that is sent again takes one, and an answer gives back a part.
  double tokens_ ABSL_GUARDED_BY(mu_) = kMostTokens;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_RETRIES_H_
