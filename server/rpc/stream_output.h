// Keeps the windows of one stream in order and writes their results.
#ifndef LOSSD_SERVER_RPC_STREAM_OUTPUT_H_
#define LOSSD_SERVER_RPC_STREAM_OUTPUT_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/rows.h"
#include "kernels/sigmoid_loss.h"
#include "server/request/stream_plan.h"
#include "server/rpc/call_context.h"
#include "server/rpc/rpc_call.h"
#include "server/rpc/stream_window.h"

namespace lossd::rpc {

// Windows are computed in any order, but settled and written in that of the
// tensor: the oldest first. Not thread-safe.
class StreamOutput {
 public:
  // The tag of window i is {call, first_event + i}. Borrows all pointers.
  StreamOutput(const CallContext* call_context, grpc::CompletionQueue* queue,
               RpcCall* call, int first_event);

  bool empty() const { return oldest_ == newest_; }
  bool full() const { return newest_ - oldest_ == kMaxWindows; }

  // Returns a free window, which from now on is the newest; !full().
  StreamWindow& Append() { return window(newest_++); }

  // Notes that the tag of window `index` has come out of the queue. Returns the
  // window.
  const StreamWindow& OnBack(size_t index) {
    windows_[index]->state = StreamWindow::State::kBack;
    return *windows_[index];
  }

  // Returns true if the batcher has a window.
  bool InFlight() const;
  // Takes back the windows that no executor has begun.
  void RemoveFromQueue();

  // Returns the next message to write, or nothing if the oldest window is not
  // back yet, or none is left. Windows whose results were all written are
  // freed. Errors: a window was dropped, or an element in it is bad.
  absl::StatusOr<std::optional<grpc::ByteBuffer>> NextMessage(
      const request::StreamPlan& plan);

  // Returns the last message, once all windows are settled.
  grpc::ByteBuffer Summary(const request::StreamPlan& plan) const;

  // Bytes of input that windows hold.
  uint64_t input_bytes() const;

  // Makes the output as new. The batcher has no window.
  void Clear();

 private:
  StreamWindow& window(uint64_t number) {
    return *windows_[number % kMaxWindows];
  }
  absl::Status Settle(const request::StreamPlan& plan, StreamWindow& window);
  absl::Status SettleRows(const request::StreamPlan& plan,
                          StreamWindow& window);

  const CallContext* const call_context_;
  // Windows are numbered from the tensor's beginning; number n is in place
  // n % kMaxWindows.
  std::array<std::unique_ptr<StreamWindow>, kMaxWindows> windows_;
  uint64_t oldest_ = 0;  // the first that is not free
  uint64_t newest_ = 0;  // the number of the next one
  kernels::TotalsAccumulator totals_;
  kernels::RowAccumulator rows_;
  kernels::MeanOfRows mean_;
  std::string_view backend_;  // of the last settled window
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_OUTPUT_H_
