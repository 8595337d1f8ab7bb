// A part of a streamed tensor on its way through the batcher.
#ifndef LOSSD_SERVER_RPC_STREAM_WINDOW_H_
#define LOSSD_SERVER_RPC_STREAM_WINDOW_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/batching/batcher.h"
#include "server/batching/task.h"
#include "server/request/window_maker.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

// The two numbers bound a stream's memory (D24). A window is large enough that
// a batch of it costs more than the hand-over between threads, and small enough
// to stay in a cache from the socket to the socket. Two of the four are for the
// executors, one is being written, and one is being read.
inline constexpr uint64_t kWindowElements = uint64_t{1} << 17;
inline constexpr uint64_t kMaxWindows = 4;
static_assert(kWindowElements % kernels::kBlockElements == 0);

// One of a stream's few windows, used again and again:
//
//   kFree -- Send() --> kInFlight -- its tag --> kBack -- StreamOutput -->
//   kSettled -- Clear() --> kFree
//
// An executor hands it back through the stream's completion queue. The stream
// is thus touched by one thread alone and needs no lock: it may use the window
// again once the tag has come out.
class StreamWindow final : public batching::Task {
 public:
  enum class State {
    kFree,
    kInFlight,  // the batcher has it
    kBack,      // outcome() is set
    kSettled,   // the totals include it; its results are being written
  };

  // `tag` comes out of `queue` after each Send(). Borrows `queue`.
  StreamWindow(grpc::CompletionQueue* queue, RpcCall::Tag tag)
      : queue_(queue), tag_(tag) {}

  // Gives the segment to the batcher.
  void Send(batching::Batcher& batcher);

  // OK if the window was computed and `partials` are set. An error if it was
  // dropped.
  const absl::Status& outcome() const { return outcome_; }
  std::string_view backend() const { return backend_; }
  // When it was computed; the infinite past if it was dropped.
  absl::Time finished() const { return finished_; }

  // Releases everything that the segment points into.
  void Clear();

  void OnComputed(const batching::Computed& computed) override;
  void OnDropped(const absl::Status& why) override;

  // --- owned by the stream ---
  State state = State::kFree;
  uint64_t first_element = 0;
  uint64_t input_bytes = 0;  // of its streamed tensors
  request::WindowMemory memory;

 private:
  void HandBack();

  grpc::CompletionQueue* const queue_;
  RpcCall::Tag tag_;
  grpc::Alarm back_;
  absl::Status outcome_;
  std::string_view backend_;
  absl::Time finished_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_WINDOW_H_
