// One request of a session.
#ifndef LOSSD_CLIENT_CPP_SESSION_CALL_H_
#define LOSSD_CLIENT_CPP_SESSION_CALL_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/steady_time.h"
#include "client/cpp/call.h"
#include "client/cpp/call_handle.h"
#include "client/cpp/message/answer_reader.h"
#include "client/cpp/message/slice_builder.h"
#include "client/cpp/message/slice_tracker.h"

namespace lossd::client {

class SessionCall;

// Where calls that their owners cancel go.
class SessionCallOwner {
 public:
  virtual ~SessionCallOwner() = default;
  virtual void Cancel(SessionCall* call) = 0;
};

// The session owns the call until it is over. Handles may keep it longer.
class SessionCall final : public CancellableCall,
                          public std::enable_shared_from_this<SessionCall> {
 public:
  // Borrows `owner` until Detach(). `pieces` have slices of `tracker`.
  SessionCall(SessionCallOwner* owner, MessagePieces pieces,
              std::shared_ptr<SliceTracker> tracker, const CallOptions& options,
              LossCallback done)
      : request(std::move(pieces)),
        bytes(static_cast<int64_t>(request.bytes())),
        deadline(SteadyTimeOf(options.deadline)),
        destination_(options.gradient_destination),
        tracker_(std::move(tracker)),
        done_(std::move(done)),
        owner_(owner) {}

  void Cancel() override ABSL_LOCKS_EXCLUDED(mu_);

  // Lets handles do nothing from now on.
  void Detach() ABSL_LOCKS_EXCLUDED(mu_);

  // Sets the outcome.
  void Take(EntryAnswer answer);
  void Fail(absl::Status why) { result_ = std::move(why); }

  // Returns true if gRPC holds nothing of the tensors. Otherwise returns false,
  // and tag() comes out of `queue` when that is so.
  bool IsFree(grpc::CompletionQueue* queue);

  void* tag() { return this; }

  // Runs once, with no lock held, because the callback may start calls. Its
  // captures go with it.
  void RunCallback() {
    LossCallback done = std::move(done_);
    std::move(done)(std::move(result_));
  }

  // --- owned by SessionCalls, under its lock ---
  uint64_t id = 0;
  uint64_t stream = 0;  // the number of the stream that it was given to
  // Until it is given to a stream, or with several servers until it is over.
  MessagePieces request;
  int attempts = 1;
  const int64_t bytes;        // of the request
  const absl::Time deadline;  // of SteadyNow()
  bool over = false;          // the outcome is decided

 private:
  const std::span<std::byte> destination_;
  const std::shared_ptr<SliceTracker> tracker_;
  LossCallback done_;
  absl::StatusOr<LossResult> result_;
  std::optional<grpc::Alarm> free_;  // if gRPC held tensors

  absl::Mutex mu_;
  // Null once the call is over. SessionCalls' lock may be taken under mu_.
  SessionCallOwner* owner_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_SESSION_CALL_H_
