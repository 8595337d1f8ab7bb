// Many requests over one stream.
#ifndef LOSSD_CLIENT_CPP_SESSION_H_
#define LOSSD_CLIENT_CPP_SESSION_H_

#include <future>
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
//   std::future<absl::StatusOr<LossResult>> result =
//       (*session)->Submit(request);
//   (*session)->ComputeLossAsync(other, {}, [](auto result) { ... });
//   Use(result.get());
//
// Tensors are borrowed as Client borrows them: until the call has returned, its
// future is ready or its callback has begun. A request that ends early, because
// its deadline passed or it was cancelled, ends at once if it is not being
// written. If it is, and a second later the server has still not read it, the
// session ends the stream, so that gRPC lets go of the tensors. Only a dead
// peer can delay that further, by the keepalive time.
//
// Errors are those of Client's calls, for each request by itself. Some are the
// session's own:
//   CANCELLED           the request or the session was cancelled. The answer is
//                       dropped, if it comes.
//   DEADLINE_EXCEEDED   CallOptions::deadline passed.
//   RESOURCE_EXHAUSTED  without RetryAfter(): SessionOptions::max_waiting
//                       requests wait already; or the request has more bytes
//                       than the server takes, and was not sent.
//   UNAVAILABLE         there is no server; or the stream ended before the
//                       answer came, because the server drains or does not
//                       read, or the connection broke. Nobody then knows
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

  // Start a request and do not wait. The future becomes ready with the outcome,
  // also when the session closes, and may outlive session and client. Its
  // destructor does not wait. A callback must not wait for a future of its
  // session, because it would wait for itself.
  std::future<absl::StatusOr<LossResult>> Submit(
      const LossRequest& request, const CallOptions& options = {});
  std::future<absl::StatusOr<LossResult>> Submit(
      const v1::ComputeLossRequest& request, const CallOptions& options = {});

  // Start a request and do not wait. `done` runs exactly once, on a thread of
  // the session or the client, perhaps before this returns. It must not block,
  // because the stream stands still meanwhile, and must not close the session.
  // It may start requests, which go together with those of the same message's
  // other callbacks.
  //
  // A request that is refused without being sent (a wrong parameter,
  // max_waiting, a closed session) has its callback run on the calling thread
  // before this returns; or, if this was called in a callback on the session's
  // thread, later on that thread. Therefore a callback that starts another
  // request whatever its outcome keeps Close() from ever returning, and where
  // it was refused on a thread of the caller's it calls itself until the stack
  // ends: start no other request after CANCELLED or INVALID_ARGUMENT.
  CallHandle ComputeLossAsync(const LossRequest& request,
                              const CallOptions& options, LossCallback done);
  CallHandle ComputeLossAsync(const v1::ComputeLossRequest& request,
                              const CallOptions& options, LossCallback done);

  // Ends all requests as CANCELLED and returns when their callbacks have run
  // and the captures of these are gone. Nothing of the caller's is used after
  // that. Later requests are CANCELLED. May be called again.
  void Close();

 private:
  // A request that is a call of its own.
  class OwnCall;

  CallHandle Start(MessagePieces request, std::shared_ptr<SliceTracker> tracker,
                   const CallOptions& options, LossCallback done);
  // `Request` is LossRequest or v1::ComputeLossRequest.
  template <typename Request>
  CallHandle StartOwnCall(const Request& request, CallOptions options,
                          LossCallback done);
  // Lets the callback of a request that is not sent run with `why`.
  void Refuse(absl::Status why, LossCallback done);

  Client* const client_;
  const SessionOptions options_;
  const std::unique_ptr<SessionCalls> calls_;

  absl::Mutex mu_;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_set<std::shared_ptr<OwnCall>> own_calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_H_
