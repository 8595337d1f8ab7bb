#include "client/cpp/async_calls.h"

#include <grpcpp/alarm.h>

#include <utility>
#include <vector>

namespace lossd::client {

// One call. It is in flight, then waits for gRPC to drop its slices, then is
// done. All but Start() and Cancel() runs on the completion thread.
class AsyncCall final : public CancellableCall {
 public:
  AsyncCall(const CallOptions& options, const Caller& caller,
            std::shared_ptr<SliceTracker> tracker, LossCallback done)
      : options_(options),
        tracker_(std::move(tracker)),
        done_(std::move(done)),
        call_(std::make_unique<Call>(options, caller)) {}

  void Start(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& method, const grpc::ByteBuffer& request,
             grpc::CompletionQueue& queue) {
    absl::MutexLock lock(&mu_);
    call_->Start(channel, method, request, queue, this);
  }

  void Cancel() override {
    absl::MutexLock lock(&mu_);
    if (call_ != nullptr) call_->Cancel();
  }

  // Goes on after this call's tag came out of `queue`. Returns true if it was
  // the last time.
  bool OnTag(grpc::CompletionQueue& queue) {
    if (awaiting_return_) return true;
    {
      absl::MutexLock lock(&mu_);
      reply_ = call_->Take();
      call_ = nullptr;
    }
    awaiting_return_ = true;
    // The news goes through the queue, because a slice may be dropped deep
    // inside gRPC, where no user's code should run.
    return tracker_->AllDroppedOrElse([this, &queue] {
      alarm_.Set(&queue, gpr_time_0(GPR_CLOCK_MONOTONIC), this);
    });
  }

  // Runs once, after the last tag, and holds no lock because the callback may
  // start calls.
  void RunCallback() { std::move(done_)(ResultOf(reply_, options_)); }

 private:
  const CallOptions options_;
  const std::shared_ptr<SliceTracker> tracker_;

  LossCallback done_;
  bool awaiting_return_ = false;
  absl::StatusOr<grpc::ByteBuffer> reply_;
  grpc::Alarm alarm_;

  absl::Mutex mu_;
  // Null once the call is over.
  std::unique_ptr<Call> call_ ABSL_GUARDED_BY(mu_);
};

AsyncCalls::AsyncCalls() : thread_([this] { Run(); }) {}

AsyncCalls::~AsyncCalls() {
  // This is a copy, because cancelled calls leave the map meanwhile.
  std::vector<std::shared_ptr<AsyncCall>> left;
  {
    absl::MutexLock lock(&mu_);
    for (const auto& [unused, call] : live_) left.push_back(call);
  }
  for (const auto& call : left) call->Cancel();
  left.clear();
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](AsyncCalls* calls) ABSL_EXCLUSIVE_LOCKS_REQUIRED(calls->mu_) {
          return calls->live_.empty();
        },
        this));
  }
  queue_.Shutdown();
  thread_.join();
}

CallHandle AsyncCalls::Start(const std::shared_ptr<grpc::Channel>& channel,
                             const std::string& method,
                             const grpc::ByteBuffer& request,
                             std::shared_ptr<SliceTracker> tracker,
                             const CallOptions& options, const Caller& caller,
                             LossCallback done) {
  auto call = std::make_shared<AsyncCall>(options, caller, std::move(tracker),
                                          std::move(done));
  {
    absl::MutexLock lock(&mu_);
    live_.emplace(call.get(), call);
  }
  call->Start(channel, method, request, queue_);
  return CallHandle(call);
}

void AsyncCalls::Run() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    auto* call = static_cast<AsyncCall*>(tag);
    if (!call->OnTag(queue_)) continue;
    call->RunCallback();
    Forget(call);
  }
}

void AsyncCalls::Forget(AsyncCall* call) {
  // This is destroyed after the lock is free, and with it the callback's
  // captures.
  std::shared_ptr<AsyncCall> last;
  absl::MutexLock lock(&mu_);
  const auto found = live_.find(call);
  last = std::move(found->second);
  live_.erase(found);
}

}  // namespace lossd::client
