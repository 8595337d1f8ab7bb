// Calls that are over while gRPC holds their tensors.
#ifndef LOSSD_CLIENT_CPP_HELD_CALLS_H_
#define LOSSD_CLIENT_CPP_HELD_CALLS_H_

#include <grpcpp/completion_queue.h>

#include <cstdint>
#include <memory>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "client/cpp/session_call.h"

namespace lossd::client {

// Keeps calls whose outcome is decided until gRPC has dropped the last slice of
// their tensors. Not thread-safe.
class HeldCalls {
 public:
  // Borrows `queue`, out of which the tags of the calls come.
  explicit HeldCalls(grpc::CompletionQueue* queue) : queue_(queue) {}

  // Keeps the call if gRPC holds its tensors, and returns whether it does.
  bool Hold(const std::shared_ptr<SessionCall>& call);

  // Returns the call that `tag` names, which is no longer held, or null if it
  // names none.
  std::shared_ptr<SessionCall> Take(void* tag);

  // Returns when the first of the calls of a stream that are still here was
  // held, or the infinite future without one.
  absl::Time HeldSince(uint64_t stream) const;

 private:
  struct Held {
    std::shared_ptr<SessionCall> call;
    absl::Time since;
  };

  grpc::CompletionQueue* const queue_;
  absl::flat_hash_map<void*, Held> calls_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_HELD_CALLS_H_
