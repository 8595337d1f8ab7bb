// A part of a streamed tensor on its way through the batcher.
#ifndef LOSSD_SERVER_RPC_STREAM_WINDOW_H_
#define LOSSD_SERVER_RPC_STREAM_WINDOW_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "server/batching/batcher.h"
#include "server/batching/task.h"
#include "server/request/window_maker.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

// One of a stream's few windows, used again and again. An executor hands it
// back through the stream's completion queue, so that the stream is touched by
// one thread alone and needs no lock: what the window holds is the stream's
// again when its tag has come out.
class StreamWindow final : public batching::Task {
 public:
  enum class State {
    kFree,
    kOut,   // the batcher has it
    kBack,  // its tag has come out; outcome() is set
  };

  // `tag` comes out of `queue` for each Send(). Both are borrowed.
  StreamWindow(grpc::CompletionQueue* queue, RpcCall::Tag tag)
      : queue_(queue), tag_(tag) {}

  // Enqueues the segment.
  void Send(batching::Batcher& batcher);

  // OK: computed, and `partials` are set. Else it was dropped.
  const absl::Status& outcome() const { return outcome_; }
  std::string_view backend() const { return backend_; }

  // Lets go of everything that it points into.
  void Clear();

  void OnComputed(const batching::Computed& computed) override;
  void OnDropped(const absl::Status& why) override;

  // --- the stream's ---
  State state = State::kFree;
  uint64_t first_element = 0;
  uint64_t held_bytes = 0;  // of input
  request::WindowMemory memory;

 private:
  void HandBack();

  grpc::CompletionQueue* const queue_;
  RpcCall::Tag tag_;
  grpc::Alarm back_;
  absl::Status outcome_;
  std::string_view backend_;
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_STREAM_WINDOW_H_
