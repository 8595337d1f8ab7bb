#include "client/cpp/session.h"

#include <future>
#include <utility>
#include <vector>

#include "client/cpp/client.h"
#include "client/cpp/message/request_writer.h"
#include "client/cpp/message/spec_check.h"
#include "client/cpp/message/stream_writer.h"

namespace lossd::client {
namespace {

// Returns a callback that makes the future of `promise` ready.
LossCallback CallbackOf(std::promise<absl::StatusOr<LossResult>> promise) {
  return [promise =
              std::move(promise)](absl::StatusOr<LossResult> result) mutable {
    promise.set_value(std::move(result));
  };
}

}  // namespace

class Session::OwnCall final : public CancellableCall {
 public:
  void Cancel() override {
    CallHandle handle;
    {
      absl::MutexLock lock(&mu_);
      cancelled_ = true;
      handle = handle_;
    }
    handle.Cancel();
  }

  // The call may be over by then, or cancelled.
  void Set(const CallHandle& handle) {
    {
      absl::MutexLock lock(&mu_);
      handle_ = handle;
      if (!cancelled_) return;
    }
    handle.Cancel();
  }

 private:
  absl::Mutex mu_;
  CallHandle handle_ ABSL_GUARDED_BY(mu_);
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
};

absl::StatusOr<LossResult> Session::ComputeLoss(const LossRequest& request,
                                                const CallOptions& options) {
  return Submit(request, options).get();
}

absl::StatusOr<LossResult> Session::ComputeLoss(
    const v1::ComputeLossRequest& request, const CallOptions& options) {
  return Submit(request, options).get();
}

std::future<absl::StatusOr<LossResult>> Session::Submit(
    const LossRequest& request, const CallOptions& options) {
  std::promise<absl::StatusOr<LossResult>> promise;
  std::future<absl::StatusOr<LossResult>> result = promise.get_future();
  ComputeLossAsync(request, options, CallbackOf(std::move(promise)));
  return result;
}

std::future<absl::StatusOr<LossResult>> Session::Submit(
    const v1::ComputeLossRequest& request, const CallOptions& options) {
  std::promise<absl::StatusOr<LossResult>> promise;
  std::future<absl::StatusOr<LossResult>> result = promise.get_future();
  ComputeLossAsync(request, options, CallbackOf(std::move(promise)));
  return result;
}

CallHandle Session::ComputeLossAsync(const LossRequest& request,
                                     const CallOptions& options,
                                     LossCallback done) {
  if (absl::Status s = CheckParameters(request.spec); !s.ok()) {
    Refuse(std::move(s), std::move(done));
    return CallHandle();
  }
  if (SentBytes(request) > options_.own_call_above_bytes) {
    return StartOwnCall(request, options, std::move(done));
  }
  std::shared_ptr<SliceTracker> tracker = SliceTracker::Make();
  MessagePieces pieces = RequestPieces(request, options.request_id, *tracker);
  return Start(std::move(pieces), std::move(tracker), options, std::move(done));
}

CallHandle Session::ComputeLossAsync(const v1::ComputeLossRequest& request,
                                     const CallOptions& options,
                                     LossCallback done) {
  MessagePieces pieces{.slices = {}, .tail = request.SerializeAsString()};
  if (std::cmp_greater(pieces.tail.size(), options_.own_call_above_bytes)) {
    return StartOwnCall(request, options, std::move(done));
  }
  return Start(std::move(pieces), SliceTracker::Make(), options,
               std::move(done));
}

CallHandle Session::Start(MessagePieces request,
                          std::shared_ptr<SliceTracker> tracker,
                          const CallOptions& options, LossCallback done) {
  const auto call = std::make_shared<SessionCall>(
      calls_.get(), std::move(request), std::move(tracker), options,
      std::move(done));
  absl::Status added = calls_->Add(call);
  if (added.ok()) return CallHandle(call);
  calls_->Refuse(call, std::move(added));
  return CallHandle();
}

void Session::Refuse(absl::Status why, LossCallback done) {
  calls_->Refuse(std::make_shared<SessionCall>(calls_.get(), MessagePieces{},
                                               SliceTracker::Make(),
                                               CallOptions{}, std::move(done)),
                 std::move(why));
}

template <typename Request>
CallHandle Session::StartOwnCall(const Request& request, CallOptions options,
                                 LossCallback done) {
  options.wait_for_ready = options_.wait_for_ready;
  const auto call = std::make_shared<OwnCall>();
  bool closed;
  {
    absl::MutexLock lock(&mu_);
    closed = closed_;
    if (!closed) own_calls_.insert(call);
  }
  if (closed) {
    Refuse(absl::CancelledError("the session was closed"), std::move(done));
    return CallHandle();
  }
  call->Set(client_->ComputeLossAsync(
      request, options,
      [this, call,
       done = std::move(done)](absl::StatusOr<LossResult> result) mutable {
        // The captures go before the call does, because Close() waits for that.
        std::exchange(done, nullptr)(std::move(result));
        absl::MutexLock lock(&mu_);
        own_calls_.erase(call);
      }));
  return CallHandle(call);
}

void Session::Close() {
  std::vector<std::shared_ptr<OwnCall>> own_calls;
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    own_calls.assign(own_calls_.begin(), own_calls_.end());
  }
  for (const auto& call : own_calls) call->Cancel();
  calls_->Close();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(
      +[](Session* session) ABSL_EXCLUSIVE_LOCKS_REQUIRED(session->mu_) {
        return session->own_calls_.empty();
      },
      this));
}

}  // namespace lossd::client
