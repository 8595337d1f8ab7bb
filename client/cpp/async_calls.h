#ifndef LOSSD_CLIENT_CPP_ASYNC_CALLS_H_
#define LOSSD_CLIENT_CPP_ASYNC_CALLS_H_

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/call.h"
#include "client/cpp/loan.h"
#include "grpcpp/completion_queue.h"

namespace lossd::client {

using LossCallback =
    absl::AnyInvocable<void(absl::StatusOr<LossResult> result) &&>;

class AsyncCall;

// A way to give up on a call. Copies name the same call; may outlive it, and
// the client.
class CallHandle {
 public:
  CallHandle() = default;

  // The callback then comes with CANCELLED, unless the call was already over.
  // Thread-safe.
  void Cancel();

 private:
  friend class AsyncCalls;
  explicit CallHandle(std::weak_ptr<AsyncCall> call) : call_(std::move(call)) {}

  std::weak_ptr<AsyncCall> call_;
};

// The asynchronous calls of one client: a completion queue and the thread that
// reads it and runs the callbacks.
//
// A callback runs exactly once, on that thread, when the call is over and gRPC
// has let go of the tensors. Thread-safe.
class AsyncCalls {
 public:
  AsyncCalls();
  // Cancels what is left and returns when every callback has run. Not from a
  // callback, and callbacks start no calls by then.
  ~AsyncCalls();

  AsyncCalls(const AsyncCalls&) = delete;
  AsyncCalls& operator=(const AsyncCalls&) = delete;

  CallHandle Start(const std::shared_ptr<grpc::Channel>& channel,
                   const std::string& method, const grpc::ByteBuffer& request,
                   std::shared_ptr<Loan> loan, const CallOptions& options,
                   const std::string& token, LossCallback done);

 private:
  void Run();
  void Forget(AsyncCall* call);

  // Its own synchronisation.
  grpc::CompletionQueue queue_;

  absl::Mutex mu_;
  absl::flat_hash_map<AsyncCall*, std::shared_ptr<AsyncCall>> live_
      ABSL_GUARDED_BY(mu_);

  // Last: it uses the others.
  std::thread thread_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_ASYNC_CALLS_H_
