// One unary call, as bytes.
#ifndef LOSSD_CLIENT_CPP_CALL_H_
#define LOSSD_CLIENT_CPP_CALL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/message/loss.h"

namespace lossd::client {

struct CallOptions {
  // The call fails with DEADLINE_EXCEEDED after it; the server sees it too.
  absl::Time deadline = absl::InfiniteFuture();
  // Echoed in the result, and in the server's log.
  std::string request_id = {};
  // If this is not empty, the gradient is copied here and must have exactly
  // this size. It is borrowed as the tensors are.
  std::span<std::byte> gradient_destination = {};
  // Without a connection, the call waits for one instead of failing.
  bool wait_for_ready = false;
  // The metadata traceparent of the call (W3C Trace Context), by which a server
  // makes its spans part of the caller's trace. Empty sends none. Sessions do
  // not read it.
  std::string traceparent = {};
};

// Returns INVALID_ARGUMENT for a traceparent that is not printable ASCII.
absl::Status CheckCallOptions(const CallOptions& options);

// A client as the metadata of its calls describes it; empty texts are left out.
struct Caller {
  std::string token;  // ClientOptions::token
  std::string job;    // ClientOptions::job
};

// Returns the context of one call, with deadline, metadata and wait_for_ready.
std::unique_ptr<grpc::ClientContext> MakeContext(const CallOptions& options,
                                                 const Caller& caller);

// A call for one use: Start(), wait for the tag, Take(). Only Cancel() may run
// on another thread, and not beside the other two.
class Call {
 public:
  Call(const CallOptions& options, const Caller& caller);

  // Sends `request`; `tag` comes out of `queue` when the call is over.
  void Start(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& method, const grpc::ByteBuffer& request,
             grpc::CompletionQueue& queue, void* tag);

  // Returns the reply or the call's error, after the tag, and frees all that
  // gRPC holds for the call.
  absl::StatusOr<grpc::ByteBuffer> Take();

  // May run at any time between construction and Take().
  void Cancel() { context_->TryCancel(); }

 private:
  // Members are destroyed in reverse, so that the context outlives the reader.
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
};

// Copies the gradient of a result to `destination` if that is not empty. The
// result becomes INVALID_ARGUMENT if it does not fit there.
void PlaceGradient(std::span<std::byte> destination,
                   absl::StatusOr<LossResult>* result);

// Returns the reply as a result, with the gradient where `options` want it.
// INVALID_ARGUMENT if it does not fit there.
absl::StatusOr<LossResult> ResultOf(
    const absl::StatusOr<grpc::ByteBuffer>& reply, const CallOptions& options);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CALL_H_
