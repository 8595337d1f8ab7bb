// One StreamLoss RPC, from listening for it to the last byte of its summary.
#ifndef LOSSD_SERVER_RPC_STREAM_LOSS_CALL_H_
#define LOSSD_SERVER_RPC_STREAM_LOSS_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/admission/admission.h"
#include "server/request/stream_plan.h"
#include "server/request/window_maker.h"
#include "server/rpc/call_context.h"
#include "server/rpc/idle_alarm.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_call.h"
#include "server/rpc/stream_window.h"
#include "server/wire/slice_queue.h"
#include "server/wire/stream_message.h"

namespace lossd::rpc {

// What bounds a stream's memory. A window is large enough that a batch of it
// costs more than the hand-over between threads, and small enough to stay in a
// cache from the socket to the socket. Four of them: two for the executors, one
// being written, one being read.
inline constexpr uint64_t kWindowElements = uint64_t{1} << 17;  // D24
inline constexpr uint64_t kMaxWindows = 4;
// How far one tensor may run ahead of another, from message to message (D25).
inline constexpr uint64_t kMaxSkewElements = kWindowElements * kMaxWindows;
static_assert(kWindowElements % kernels::kBlockElements == 0);

// Reads messages, gathers their bytes into windows, has those computed, and
// writes the results in order, all at once:
//
//   Read -> queues of slices -> window -> [batcher, executor] -> Write
//
// The next message is read only while a window is free, and a window is free
// again only when its results have been taken by gRPC, which takes them as the
// client reads. So a client that does not read is neither computed for nor read
// from, and memory is that of the windows, of as much input, and of one
// message. That is what the permit is for; a message that is larger than it is
// charged for as long as it is held.
//
// All happens on the call's RPC thread; windows come back through its queue.
// The first error ends the stream: what is out comes back, and is dropped. So
// does a client that neither sends nor reads for stream_idle_limit while no
// window is out, that is, while the server waits for it alone.
class StreamLossCall final : public RpcCall {
 public:
  // All borrowed.
  StreamLossCall(const CallContext* call_context, LossService* service,
                 grpc::ServerCompletionQueue* queue);

  void Listen() override;
  bool OnEvent(int event, bool ok) override;
  bool ended() const override;
  void Reset() override;

 private:
  enum Event {
    kRead = kRequest + 1,
    kWritten,
    kFinished,
    kDone,
    kIdle,
    kFirstWindow,  // and one for each window
  };
  using Stream =
      grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  void OnRequest();
  void OnRead(bool ok);
  void OnWritten(bool ok);
  void OnDone();
  void OnIdle();
  // Starts whatever can be started now.
  void Advance();

  absl::Status TakeMessage();
  absl::Status TakeHeader();
  absl::Status TakeChunk();
  absl::Status CheckSkew() const;
  absl::Status CheckComplete() const;
  // What is to be charged: more than at first only while a large message is
  // held.
  int64_t ChargedBytes() const;

  bool NextWindowIsHere() const;
  void SendWindows();
  // Writes the next result of the oldest window, if it is there, or frees it.
  void WriteResults();
  absl::Status Settle(StreamWindow& window);
  void Free(StreamWindow& window);
  void Write(uint32_t field, Buffer payload);
  void WriteSummary();

  void Fail(const absl::Status& status);
  void FailWith(const grpc::Status& answer);
  absl::StatusCode FinalCode() const;
  bool windows_out() const;
  StreamWindow& window(uint64_t number) {
    return *windows_[number % kMaxWindows];
  }
  // Elements of the window that begins at next_element_.
  uint64_t NextCount() const;

  const CallContext* const call_context_;
  LossService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Tag request_tag_{this, kRequest};
  Tag read_tag_{this, kRead};
  Tag written_tag_{this, kWritten};
  Tag finished_tag_{this, kFinished};
  Tag done_tag_{this, kDone};
  IdleAlarm idle_alarm_;
  std::array<std::unique_ptr<StreamWindow>, kMaxWindows> windows_;

  // --- made anew for each RPC ---
  std::optional<grpc::ServerContext> context_;
  std::optional<Stream> stream_;
  std::optional<request::StreamPlan> plan_;  // once the header is here

  // Of one RPC; Reset() makes it as new.
  struct Progress {
    absl::Time received;
    absl::Time deadline;
    uint64_t flow = 0;          // the connection's
    uint64_t made = 0;          // bytes of results that windows may have
    uint64_t reserved = 0;      // bytes of input that are charged in any case
    uint64_t held = 0;          // bytes of input in header, queues and windows
    uint64_t next_element = 0;  // where the next window begins
    uint64_t oldest = 0;        // numbers of the windows in flight: from oldest
    uint64_t newest = 0;        // to before newest
    wire::PerField<uint64_t> arrived;  // bytes, since the beginning
    kernels::TotalsAccumulator totals;
    std::string_view backend;
    bool reading = false;      // a Read is under way
    bool half_closed = false;  // the client sends no more
    bool settled = false;      // the oldest window is in the totals
    bool losses_sent = false;  // and its losses are written
    bool writing = false;
    bool finishing = false;  // Finish is under way, or behind us
    bool finished = false;
    bool sent = false;  // the end reached the transport
    bool cut = false;   // the call was ended beside what is being written
    bool done = false;  // the RPC is over for the client
    // The end, once it is known: not OK, or OK with the summary.
    std::optional<grpc::Status> failure;
    absl::StatusCode code = absl::StatusCode::kOk;
  };
  Progress now_;
  wire::PerField<wire::SliceQueue> queues_;
  grpc::ByteBuffer message_buffer_;
  wire::StreamMessage message_;
  admission::Permit permit_;
  bool enqueued_ = false;  // the batcher was given something in this event
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_LOSS_CALL_H_
