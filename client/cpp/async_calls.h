// The asynchronous calls of a client.
#ifndef LOSSD_CLIENT_CPP_ASYNC_CALLS_H_
#define LOSSD_CLIENT_CPP_ASYNC_CALLS_H_

#include <grpcpp/completion_queue.h>

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/call.h"
#include "client/cpp/call_handle.h"
#include "client/cpp/message/slice_tracker.h"

namespace lossd::client {

class AsyncCall;

// A completion queue, and the thread that reads it and runs the callbacks.
//
// A callback runs exactly once, on that thread, when the call is over and gRPC
// has let go of the tensors. Thread-safe.
class AsyncCalls {
 public:
  AsyncCalls();
  // Cancels all calls and returns when every callback has run. Must not run in
  // a callback, and callbacks must start no calls by then.
  ~AsyncCalls();

  AsyncCalls(const AsyncCalls&) = delete;
  AsyncCalls& operator=(const AsyncCalls&) = delete;

  // Starts a call. `request` holds slices of `tracker`.
  CallHandle Start(const std::shared_ptr<grpc::Channel>& channel,
                   const std::string& method, const grpc::ByteBuffer& request,
                   std::shared_ptr<SliceTracker> tracker,
                   const CallOptions& options, const Caller& caller,
                   LossCallback done);

 private:
  void Run();
  void Forget(AsyncCall* call);

  grpc::CompletionQueue queue_;  // thread-safe

  absl::Mutex mu_;
  absl::flat_hash_map<AsyncCall*, std::shared_ptr<AsyncCall>> live_
      ABSL_GUARDED_BY(mu_);

  // The thread is last because it uses the other members.
  std::thread thread_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_ASYNC_CALLS_H_
