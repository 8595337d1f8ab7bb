// Many requests over one stream.
#ifndef LOSSD_CLIENT_CPP_SESSION_H_
#define LOSSD_CLIENT_CPP_SESSION_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/call.h"
#include "client/cpp/call_handle.h"
#include "client/cpp/message/loss.h"
#include "client/cpp/message/slice_builder.h"
#include "client/cpp/message/slice_tracker.h"
#include "client/cpp/session_calls.h"
#include "client/cpp/session_options.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

class Client;

// Calls lossd through the stream ComputeLosses, which costs a small request a
// fraction of a call: requests that are made while a message is being written
// go together in the next one. The answers have the bits of Client's.
//
//   auto session = (*client)->StartSession();
//   (*session)->ComputeLossAsync(request, {}, [](auto result) { ... });
//   auto result = (*session)->ComputeLoss(other);  // waits for this one alone
//
// Tensors are borrowed as Client borrows them: until the call has returned or
// its callback has begun.
//
// Errors are those of Client's calls, for each request by itself. Some are the
// session's own:
//   CANCELLED           the request or the session was cancelled. The answer is
//                       dropped, if it comes.
//   DEADLINE_EXCEEDED   CallOptions::deadline passed.
//   RESOURCE_EXHAUSTED  without RetryAfter(): SessionOptions::max_waiting
//                       requests wait already.
//   UNAVAILABLE         the stream ended before the answer came, because the
//                       server drains or the connection broke. Nobody knows
//                       whether the request was computed, and it may always be
//                       sent again: a loss depends on its request alone.
// A request that was made after the stream ended opens a new one, on the
// client's next connection. The session itself never sends a request twice.
//
// Thread-safe.
class Session {
 public:
  // Use Client::StartSession(). Borrows the client.
  Session(Client* client, std::unique_ptr<SessionCalls> calls,
          const SessionOptions& options)
      : client_(client), options_(options), calls_(std::move(calls)) {}

  // Closes.
  ~Session() { Close(); }

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Blocks until the answer is here. The stream opens with the first request.
  // CallOptions::wait_for_ready is not read; SessionOptions has it.
  absl::StatusOr<LossResult> ComputeLoss(const LossRequest& request,
                                         const CallOptions& options = {});

  // Sends a message that exists already, as it is and however large. Its
  // request_id counts, not that of `options`.
  absl::StatusOr<LossResult> ComputeLoss(const v1::ComputeLossRequest& request,
                                         const CallOptions& options = {});

  // Start a request and do not wait. `done` runs exactly once, on a thread of
  // the session or the client, perhaps before this returns; for a request that
  // is not sent it runs on the calling thread. It must not block, because the
  // stream stands still meanwhile, and must not close the session. It may start
  // requests, which go together with those of the same message's other
  // callbacks.
  CallHandle ComputeLossAsync(const LossRequest& request,
                              const CallOptions& options, LossCallback done);
  CallHandle ComputeLossAsync(const v1::ComputeLossRequest& request,
                              const CallOptions& options, LossCallback done);

  // Ends all requests as CANCELLED and returns when their callbacks have run.
  // Later requests are CANCELLED. May be called again. A blocking ComputeLoss()
  // of more than SessionOptions::own_call_above_bytes goes on, and needs the
  // client alone.
  void Close();

 private:
  // A request that is a call of its own.
  class OwnCall;

  CallHandle Start(MessagePieces request, std::shared_ptr<SliceTracker> tracker,
                   const CallOptions& options, LossCallback done);
  CallHandle StartOwnCall(const LossRequest& request, CallOptions options,
                          LossCallback done);

  Client* const client_;
  const SessionOptions options_;
  const std::unique_ptr<SessionCalls> calls_;

  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<std::shared_ptr<OwnCall>> own_calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_H_
