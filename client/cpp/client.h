#ifndef LOSSD_CLIENT_CPP_CLIENT_H_
#define LOSSD_CLIENT_CPP_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/async_calls.h"
#include "client/cpp/call.h"
#include "client/cpp/connections.h"
#include "client/cpp/loss.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

// A worker's side of lossd.
//
//   auto client = Client::Create({.target = "loss:50051"});
//   LossRequest request{.logits = TensorView::Of<float>(logits, {64, 10}),
//                       .targets = TensorView::Of<float>(targets, {64, 10})};
//   auto result = (*client)->ComputeLoss(request);
//   if (result.ok()) Step(*result->gradient->As<float>());
//
// Tensors are sent from the caller's memory and received into gRPC's: nothing
// is copied on the way unless asked for. That memory is gRPC's until a call has
// returned, or its callback has begun; a call that fails while its message is
// still being written comes back only when the last byte of it is free, which a
// dead peer can delay by the keepalive time.
//
// Errors are the server's, code and message; `RetryAfter` (call_status.h) says
// when a RESOURCE_EXHAUSTED wants to be tried again. The client itself never
// retries.
//
// Thread-safe. Calls from several threads share the connections.
class Client {
 public:
  // INVALID_ARGUMENT for options that make no sense. Does not connect: the
  // first call does.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options);

  // Cancels the asynchronous calls in flight and waits for their callbacks. No
  // other thread may be in a call.
  ~Client() = default;

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks until the answer is here. The calling thread itself drives the
  // connection: there is no other thread on the way. Tensors of more than
  // ClientOptions::stream_above_bytes go through StreamLoss, unless they or the
  // gradient's destination lie in shared memory. A parameter of another loss
  // kind than the spec's is INVALID_ARGUMENT without a call.
  absl::StatusOr<LossResult> ComputeLoss(const LossRequest& request,
                                         const CallOptions& options = {});

  // The same for a message that is already there (read from JSON, say), which
  // is sent as it is. Its request_id counts, not that of `options`.
  absl::StatusOr<LossResult> ComputeLoss(const v1::ComputeLossRequest& request,
                                         const CallOptions& options = {});

  // Always one message. Does not wait; `done` runs exactly once, on the
  // client's completion thread, perhaps before this returns, or, for a request
  // that ComputeLoss() would not send, on this one. It must not block
  // (all callbacks share that thread), nor destroy the client; it may start
  // calls.
  CallHandle ComputeLossAsync(const LossRequest& request,
                              const CallOptions& options, LossCallback done);

  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(
      const CallOptions& options = {});

  // grpc.health.v1: OK if `service` ("" is the whole server) is serving,
  // UNAVAILABLE if it is not, NOT_FOUND if the server does not know it.
  absl::Status CheckHealth(const std::string& service,
                           const CallOptions& options = {});

 private:
  Client(Connections connections, const ClientOptions& options);

  // Calls and waits, also for the return of what `loan` lent to `request`.
  absl::StatusOr<grpc::ByteBuffer> Unary(const std::string& method,
                                         grpc::ByteBuffer request,
                                         const CallOptions& options,
                                         Loan& loan);
  // The same for a message that borrows nothing.
  absl::StatusOr<std::string> UnaryBytes(const std::string& method,
                                         const std::string& request,
                                         const CallOptions& options);
  AsyncCalls& Async();

  const std::string token_;
  const int64_t stream_above_bytes_;
  // Its own synchronisation.
  Connections connections_;

  absl::Mutex mu_;
  // Made by the first asynchronous call: an idle completion thread would take
  // part in polling and cost the blocking calls a thread switch each.
  std::unique_ptr<AsyncCalls> async_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CLIENT_H_
