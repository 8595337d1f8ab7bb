// The C++ client.
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
#include "client/cpp/message/loss.h"
#include "client/cpp/retries.h"
#include "client/cpp/session.h"
#include "client/cpp/session_options.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::client {

// Calls lossd.
//
//   auto client = Client::Create({.target = "loss:50051"});
//   LossRequest request{.logits = TensorView::Of<float>(logits, {64, 10}),
//                       .targets = TensorView::Of<float>(targets, {64, 10})};
//   auto result = (*client)->ComputeLoss(request);
//   if (result.ok()) Step(*result->gradient->As<float>());
//
// Tensors are sent from the caller's memory and received into gRPC's, without a
// copy unless one is asked for. gRPC reads the caller's memory until the call
// has returned or its callback has begun. A call that fails while its message
// is being written therefore returns only when gRPC has let go of the last
// byte, which a dead peer can delay by the keepalive time.
//
// Errors have the server's code and message. RetryAfter() (call_status.h)
// returns the delay after which a RESOURCE_EXHAUSTED call may be tried again.
// With one server the client itself never retries; with several it does
// (ClientOptions::target), and requests that name shared memory, which is one
// server's, are INVALID_ARGUMENT.
//
// Thread-safe. Calls from several threads share the connections.
class Client {
 public:
  // Returns a client, which connects with its first call. INVALID_ARGUMENT for
  // options that make no sense.
  static absl::StatusOr<std::unique_ptr<Client>> Create(
      const ClientOptions& options);

  // Cancels the asynchronous calls in flight and waits for their callbacks. No
  // other thread may be in a call.
  ~Client() = default;

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Blocks until the answer is here. The calling thread itself drives the
  // connection, without any other thread. Tensors of more than
  // ClientOptions::stream_above_bytes go through StreamLoss, unless they or the
  // gradient's destination lie in shared memory, or a stream cannot compute
  // their rows (StreamTakes()). INVALID_ARGUMENT, without a
  // call, for a parameter of another loss kind than the spec's.
  absl::StatusOr<LossResult> ComputeLoss(const LossRequest& request,
                                         const CallOptions& options = {});

  // Sends a message that exists already, such as one read from JSON, as it is.
  // Its request_id counts, not that of `options`.
  absl::StatusOr<LossResult> ComputeLoss(const v1::ComputeLossRequest& request,
                                         const CallOptions& options = {});

  // Starts a call of one message, however large, and does not wait. `done` runs
  // exactly once, on the client's completion thread, perhaps before this
  // returns; for a request that ComputeLoss() would not send it runs on the
  // calling thread, as it does with RESOURCE_EXHAUSTED if that thread cannot be
  // started. It must not block, because all callbacks share that thread, and
  // must not destroy the client. It may start calls.
  CallHandle ComputeLossAsync(const LossRequest& request,
                              const CallOptions& options, LossCallback done);

  // Sends a message that exists already. Its request_id counts, not that of
  // `options`.
  CallHandle ComputeLossAsync(const v1::ComputeLossRequest& request,
                              const CallOptions& options, LossCallback done);

  // Returns a session, which sends many requests over one stream (session.h).
  // It must end before the client does. INVALID_ARGUMENT for options that make
  // no sense, RESOURCE_EXHAUSTED if its thread cannot be started.
  absl::StatusOr<std::unique_ptr<Session>> StartSession(
      const SessionOptions& options = {});

  // Returns INVALID_ARGUMENT for a request that the calls above do not send: of
  // parameters that its loss kind lacks, or of shared memory with several
  // servers.
  absl::Status Check(const LossRequest& request) const;
  absl::Status Check(const v1::ComputeLossRequest& request) const;

  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo(
      const CallOptions& options = {});

  // Asks grpc.health.v1. Returns OK if `service` ("" is the whole server) is
  // serving, UNAVAILABLE if it is not, NOT_FOUND if the server does not know
  // it.
  absl::Status CheckHealth(const std::string& service,
                           const CallOptions& options = {});

 private:
  Client(std::unique_ptr<Connections> connections,
         const ClientOptions& options);

  absl::Status CheckMemory(bool named) const;
  // Calls StreamLoss, and again for another server's answer.
  absl::StatusOr<LossResult> Stream(const LossRequest& request,
                                    const CallOptions& options);
  // Calls and waits for the reply, and until gRPC has dropped all slices that
  // `tracker` made for `request`.
  absl::StatusOr<grpc::ByteBuffer> Unary(const std::string& method,
                                         grpc::ByteBuffer request,
                                         const CallOptions& options,
                                         SliceTracker& tracker);
  // Calls with a message that borrows nothing, and waits for the reply.
  absl::StatusOr<std::string> UnaryBytes(const std::string& method,
                                         const std::string& request,
                                         const CallOptions& options);
  // Starts a call whose message has slices of `tracker`.
  CallHandle StartAsync(const grpc::ByteBuffer& message,
                        std::shared_ptr<SliceTracker> tracker,
                        const CallOptions& options, LossCallback done);
  // RESOURCE_EXHAUSTED if the thread for them cannot be started.
  absl::StatusOr<AsyncCalls*> Async();

  const Caller caller_;
  const int64_t stream_above_bytes_;
  const std::unique_ptr<Connections> connections_;  // thread-safe
  const std::unique_ptr<Retries> retries_;  // null without several servers

  absl::Mutex mu_;
  // The first asynchronous call makes this. An idle completion thread would
  // take part in polling and cost each blocking call a thread switch.
  std::unique_ptr<AsyncCalls> async_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CLIENT_H_
