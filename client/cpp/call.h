#ifndef LOSSD_CLIENT_CPP_CALL_H_
#define LOSSD_CLIENT_CPP_CALL_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cpp/loss.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/support/async_unary_call.h"
#include "grpcpp/support/byte_buffer.h"

namespace lossd::client {

struct CallOptions {
  // The call fails with DEADLINE_EXCEEDED after it; the server sees it too.
  absl::Time deadline = absl::InfiniteFuture();
  // Echoed in the result, and in the server's log.
  std::string request_id = {};
  // Not empty: the gradient is copied here, and must have exactly this size.
  // Borrowed like the tensors.
  std::span<std::byte> gradient_destination = {};
  // While there is no connection: wait for one, instead of failing.
  bool wait_for_ready = false;
};

// The context of one call: deadline, token, patience.
std::unique_ptr<grpc::ClientContext> MakeContext(const CallOptions& options,
                                                 const std::string& token);

// One unary call as bytes, for one use: Start, wait for the tag, Take.
class Call {
 public:
  Call(const CallOptions& options, const std::string& token);

  // Sends `request`; `tag` comes out of `queue` when the call is over.
  void Start(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& method, const grpc::ByteBuffer& request,
             grpc::CompletionQueue& queue, void* tag);

  // The reply, after the tag. Lets go of everything gRPC holds for the call.
  absl::StatusOr<grpc::ByteBuffer> Take();

  // Any time between construction and Take.
  void Cancel() { context_->TryCancel(); }

 private:
  // Destroyed in reverse: the context outlives the reader.
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader_;
  grpc::ByteBuffer reply_;
  grpc::Status status_;
};

// The reply as a result, with the gradient where `options` want it.
absl::StatusOr<LossResult> ResultOf(
    const absl::StatusOr<grpc::ByteBuffer>& reply, const CallOptions& options);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CALL_H_
