#include "client/cpp/async_calls.h"

#include <utility>
#include <vector>

#include "grpcpp/alarm.h"

namespace lossd::client {

// One call on its way: in flight, then, if gRPC still holds slices, waiting for
// their return, then done. All but Cancel happens on the completion thread.
class AsyncCall {
 public:
  AsyncCall(const CallOptions& options, const std::string& token,
            std::shared_ptr<Loan> loan, LossCallback done)
      : options_(options),
        loan_(std::move(loan)),
        done_(std::move(done)),
        call_(std::make_unique<Call>(options, token)) {}

  void Start(const std::shared_ptr<grpc::Channel>& channel,
             const std::string& method, const grpc::ByteBuffer& request,
             grpc::CompletionQueue& queue) {
    absl::MutexLock lock(&mu_);
    call_->Start(channel, method, request, queue, this);
  }

  // From any thread, at any time.
  void Cancel() {
    absl::MutexLock lock(&mu_);
    if (call_ != nullptr) call_->Cancel();
  }

  // This call's tag came out of `queue`. True: it came for the last time.
  bool OnTag(grpc::CompletionQueue& queue) {
    if (awaiting_return_) return true;
    {
      absl::MutexLock lock(&mu_);
      reply_ = call_->Take();
      call_ = nullptr;
    }
    awaiting_return_ = true;
    // Through the queue, because a slice may be dropped deep inside gRPC, where
    // no user's code should run.
    return loan_->ReturnedOrElse([this, &queue] {
      alarm_.Set(&queue, gpr_time_0(GPR_CLOCK_MONOTONIC), this);
    });
  }

  // Once, after the last tag. Without a lock: the callback may start calls.
  void RunCallback() { std::move(done_)(ResultOf(reply_, options_)); }

 private:
  const CallOptions options_;
  const std::shared_ptr<Loan> loan_;

  LossCallback done_;
  bool awaiting_return_ = false;
  absl::StatusOr<grpc::ByteBuffer> reply_;
  grpc::Alarm alarm_;

  absl::Mutex mu_;
  // Null once it is over.
  std::unique_ptr<Call> call_ ABSL_GUARDED_BY(mu_);
};

void CallHandle::Cancel() {
  if (const std::shared_ptr<AsyncCall> call = call_.lock()) call->Cancel();
}

AsyncCalls::AsyncCalls() : thread_([this] { Run(); }) {}

AsyncCalls::~AsyncCalls() {
  // A copy, because cancelled calls leave the map while this goes through them.
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
                             std::shared_ptr<Loan> loan,
                             const CallOptions& options,
                             const std::string& token, LossCallback done) {
  auto call = std::make_shared<AsyncCall>(options, token, std::move(loan),
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
  // Destroyed after the lock is free: with it goes what the callback captured.
  std::shared_ptr<AsyncCall> last;
  absl::MutexLock lock(&mu_);
  const auto found = live_.find(call);
  last = std::move(found->second);
  live_.erase(found);
}

}  // namespace lossd::client
