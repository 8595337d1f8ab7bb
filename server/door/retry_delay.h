// Decides when a client that was refused should ask again.
#ifndef LOSSD_SERVER_DOOR_RETRY_DELAY_H_
#define LOSSD_SERVER_DOOR_RETRY_DELAY_H_

#include <grpcpp/server_context.h>

#include <optional>

#include "absl/random/bit_gen_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lossd::door {

// gRPC's own retries handle a pushback of less than this badly.
inline constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(10);
inline constexpr absl::Duration kMaxRetryDelay = absl::Seconds(10);

// Returns the time after which a refused client should ask again (D58). If the
// queue is what is full, that is the time that it takes, `expected_wait`. Below
// kMinRetryDelay it is not: other requests hold the budget, for a time that
// nobody knows. Then the delay begins at 100 ms and doubles with each of the
// call's `previous_attempts`. Both vary by a fifth either way, so that clients
// that were refused together do not come back together, and the result lies in
// [kMinRetryDelay, kMaxRetryDelay].
absl::Duration RetryDelay(absl::Duration expected_wait, int previous_attempts,
                          absl::BitGenRef random);

// Returns how often gRPC's retries have sent this call before: the header
// grpc-previous-rpc-attempts, or 0 if it is absent or no number.
int PreviousAttempts(const grpc::ServerContext& context);

// A refusal on its way to the client carries the delay as a payload. The first
// sets it; the second returns it, or nothing where asking again does not help.
void SetRetryDelay(absl::Duration delay, absl::Status* refusal);
std::optional<absl::Duration> RetryDelayOf(const absl::Status& refusal);

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_RETRY_DELAY_H_
