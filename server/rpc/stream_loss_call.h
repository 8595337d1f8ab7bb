// One StreamLoss RPC, from listening for it to the last byte of its summary.
#ifndef LOSSD_SERVER_RPC_STREAM_LOSS_CALL_H_
#define LOSSD_SERVER_RPC_STREAM_LOSS_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/rpc/call_context.h"
#include "server/rpc/idle_alarm.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_call.h"
#include "server/rpc/stream_input.h"
#include "server/rpc/stream_output.h"

namespace lossd::rpc {

// Reads messages, gathers their bytes into windows, has those computed, and
// writes the results in order, all at once:
//
//   Read -> StreamInput -> WindowMaker -> [batcher, executor]
//        -> StreamOutput -> Write
//
// The next message is read only while a window is free. A window is free again
// only when gRPC has taken its results, which it does as the client reads. So a
// client that does not read is neither computed for nor read from (D25).
// Memory is bounded by the windows, as much input again, and one message. The
// permit stands for that; a message that is larger is charged for as long as it
// is held.
//
// A stream has two states, and a write that is under way or not:
//
//   Reading   kPaused ---- a window is free ----> kReading
//                ^                                  |  |
//                +----------- a message ------------+  +- half-close -> kClosed
//
//   Ending    kOpen -- an error --> kFailed -- no write: Finish --> kFinishing
//               |                                                      ^
//               +---- kClosed and all written: WriteAndFinish ---------+
//
// The first error ends the stream: windows in flight come back and are dropped.
// A stream whose client neither sends nor reads for stream_idle_limit, while no
// window is in flight, fails (D26).
//
// All of it runs on the call's RPC thread; windows come back through its queue.
class StreamLossCall final : public RpcCall {
 public:
  // Borrows all three.
  StreamLossCall(const CallContext* call_context, LossService* service,
                 grpc::ServerCompletionQueue* queue);

  bool ended() const override;

 private:
  enum StreamEvent {
    kRead = kFirstOwnEvent,
    kWritten,
    kIdle,
    kFirstWindow,  // and one for each window
  };
  enum class Reading { kPaused, kReading, kClosed };
  enum class Ending { kOpen, kFailed, kFinishing };
  using Stream =
      grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  void RequestRpc() override;
  bool Handle(int event, bool ok) override;
  void Release(absl::StatusCode code) override;
  absl::string_view request_id() const override;
  std::string LogDetail() const override;

  void OnRequest();
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnDone();
  void OnIdle();
  void TraceWindow(const StreamWindow& window);

  // Starts everything that can be started now.
  void Advance();
  void SendWindows();
  void WriteResults();
  void WriteSummary();

  // Takes the permit for the header, or charges for a large message.
  void Charge();
  // Gives back what was charged for a large message.
  void Uncharge();
  int64_t ChargedBytes() const;

  // Fail the stream with an error, unless its end is already decided.
  void Fail(const absl::Status& status);
  void FailWith(const grpc::Status& answer);

  LossService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Tag read_tag_{this, kRead};
  Tag written_tag_{this, kWritten};
  IdleAlarm idle_alarm_;

  // --- state of one RPC; Release() resets it ---
  std::optional<Stream> stream_;
  grpc::ByteBuffer message_;
  StreamInput input_;
  StreamOutput output_;
  Reading reading_ = Reading::kPaused;
  Ending ending_ = Ending::kOpen;
  bool writing_ = false;
  std::optional<grpc::Status> failure_;  // the answer, from kFailed on

  // The batcher was given something during this event.
  bool enqueued_ = false;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_LOSS_CALL_H_
