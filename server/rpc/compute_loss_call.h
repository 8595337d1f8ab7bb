// One ComputeLoss RPC, from listening for it to the last byte of its reply.
#ifndef LOSSD_SERVER_RPC_COMPUTE_LOSS_CALL_H_
#define LOSSD_SERVER_RPC_COMPUTE_LOSS_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/batching/task.h"
#include "server/rpc/call_context.h"
#include "server/rpc/loss_computation.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

// The call is also the batching::Task (D20):
//
//   Listen() -> kRequest -> [intake] -> kRead -> [batcher, executor]
//            -> Finish -> kFinished, kDone
//
// The message is received only when the intake says so; until then its client
// has it.
//
// OnComputed() and OnDropped() come from any thread, once, and touch the call
// no more after they have started Finish.
class ComputeLossCall final : public RpcCall,
                              public batching::Task,
                              public admission::MessageReader {
 public:
  // Borrows all three.
  ComputeLossCall(const CallContext* call_context, LossService* service,
                  grpc::ServerCompletionQueue* queue);

  void OnComputed(const batching::Computed& computed) override;
  void OnDropped(const absl::Status& why) override;
  void OnMayRead() override;
  void OnTurnedAway(const absl::Status& why) override;
  // Also ends the RPC if its client does not take the answer.
  void OnSweep() override;

 private:
  void RequestRpc() override;
  bool Handle(int event, bool ok) override;
  void Release(absl::StatusCode code) override;
  absl::string_view request_id() const override {
    return computation_.request_id();
  }

  enum OwnEvent { kRead = kFirstOwnEvent };
  static constexpr int64_t kNoAnswer = -1;

  // Enters the intake, unless the call can be refused at once.
  void OnRequest();
  // Ends the reception of the message. Returns what Handle() returns.
  bool OnRead(bool ok);
  // Validates, admits and enqueues. Returns true if the batcher has the task.
  bool Start();
  bool IsLate() const;
  // Answers a call whose deadline has passed after it was let in.
  void FinishLate();
  void OnDone();
  void FinishWithReply(wire::SlicedMessage reply);
  void FinishWithError(const absl::Status& status);
  void Finish(const grpc::Status& answer);
  void LeaveIntake(absl::StatusCode code);

  Tag read_tag_{this, kRead};
  LossService* const service_;
  grpc::ServerCompletionQueue* const queue_;

  // --- state of one RPC; Release() resets it ---
  std::optional<LossService::ComputeLossStream> stream_;
  grpc::ByteBuffer message_;
  LossComputation computation_;
  admission::Arrival arrival_;
  bool waiting_ = false;   // the intake may have this call
  bool inside_ = false;    // the intake let it in, and counts it
  bool enqueued_ = false;  // the batcher was given this task
  // The bytes of the answer, once gRPC is about to have it; set by whichever
  // thread answers.
  std::atomic<int64_t> answer_bytes_{kNoAnswer};
  // When a sweep first found the answer not taken.
  absl::Time untaken_since_ = absl::InfiniteFuture();
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_COMPUTE_LOSS_CALL_H_
