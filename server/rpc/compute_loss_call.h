// One ComputeLoss RPC, from listening for it to the last byte of its reply.
#ifndef LOSSD_SERVER_RPC_COMPUTE_LOSS_CALL_H_
#define LOSSD_SERVER_RPC_COMPUTE_LOSS_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/byte_buffer.h>

#include <optional>

#include "absl/status/status.h"
#include "server/admission/admission.h"
#include "server/base/buffer_pool.h"
#include "server/batching/task.h"
#include "server/request/valid_request.h"
#include "server/rpc/call_context.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_call.h"
#include "server/wire/request_parser.h"

namespace lossd::rpc {

// The call is the batching::Task. It is used again and again, so that a request
// allocates little but what gRPC allocates.
//
//   Listen() -> kRequest -> [batcher, executor] -> Finish -> kFinished, kDone
//
// gRPC reports kFinished when the reply is out and kDone when the RPC is over
// for the client (cancelled or not); after both the call has ended. All is
// called on the call's RPC thread, except OnComputed() and OnDropped(), which
// come from any thread, once, and touch the call no more after they have
// started Finish. The permit goes back and the call is counted when it has
// ended, hence exactly once: until then gRPC has the reply's memory. The client
// may be ahead of that, so the permit is marked before Finish.
class ComputeLossCall final : public RpcCall, public batching::Task {
 public:
  // All borrowed.
  ComputeLossCall(const CallContext* call_context, LossService* service,
                  grpc::ServerCompletionQueue* queue);

  void Listen() override;
  bool OnEvent(int event, bool ok) override;
  bool ended() const override { return finished_ && done_; }
  void Reset() override;

  void OnComputed(const batching::Computed& computed) override;
  void OnDropped(const absl::Status& why) override;

 private:
  enum Event { kFinished = kRequest + 1, kDone };

  // kRequest: validates, admits and enqueues. True if the batcher has it.
  bool Start();
  void OnFinished(bool ok);
  void OnDone();
  absl::Status Read();
  // Refuses by Finish with more than a status, hence returns whether it was
  // admitted.
  bool Admit();
  void FinishWithReply(batching::Computed computed);
  void FinishWithError(const absl::Status& status);
  absl::StatusCode FinalCode() const;
  absl::string_view request_id() const {
    return parser_.request().request_id();
  }

  const CallContext* const call_context_;
  LossService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Tag request_tag_{this, kRequest};
  Tag finished_tag_{this, kFinished};
  Tag done_tag_{this, kDone};

  // Made anew for each RPC.
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>> responder_;

  grpc::ByteBuffer message_;
  wire::RequestParser parser_;
  request::ValidRequest request_;
  admission::Permit permit_;
  Buffer gradient_;
  Buffer losses_;
  absl::Time received_;

  bool enqueued_ = false;  // the batcher was given this task
  bool finished_ = false;
  bool sent_ = false;  // the reply reached the transport
  bool done_ = false;
  // What Finish was given; written before it, read after kFinished.
  absl::StatusCode code_ = absl::StatusCode::kOk;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_COMPUTE_LOSS_CALL_H_
