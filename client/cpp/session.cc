#include "client/cpp/session.h"

#include <vector>

#include "absl/synchronization/notification.h"
#include "client/cpp/client.h"
#include "client/cpp/message/request_writer.h"
#include "client/cpp/message/spec_check.h"
#include "client/cpp/message/stream_writer.h"

namespace lossd::client {
namespace {

MessagePieces PiecesOf(const v1::ComputeLossRequest& request) {
  return {.slices = {}, .tail = request.SerializeAsString()};
}

// Takes a result on another thread than the one that waits for it.
class Waiter {
 public:
  LossCallback Callback() {
    return [this](absl::StatusOr<LossResult> result) {
      result_ = std::move(result);
      here_.Notify();
    };
  }
  absl::StatusOr<LossResult> Wait() {
    here_.WaitForNotification();
    return std::move(result_);
  }

 private:
  absl::Notification here_;
  absl::StatusOr<LossResult> result_;
};

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
  Waiter waiter;
  ComputeLossAsync(request, options, waiter.Callback());
  return waiter.Wait();
}

absl::StatusOr<LossResult> Session::ComputeLoss(
    const v1::ComputeLossRequest& request, const CallOptions& options) {
  Waiter waiter;
  ComputeLossAsync(request, options, waiter.Callback());
  return waiter.Wait();
}

CallHandle Session::ComputeLossAsync(const LossRequest& request,
                                     const CallOptions& options,
                                     LossCallback done) {
  if (absl::Status s = CheckParameters(request.spec); !s.ok()) {
    std::move(done)(std::move(s));
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
  return Start(PiecesOf(request), SliceTracker::Make(), options,
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
  call->Detach();
  call->Fail(std::move(added));
  call->RunCallback();
  return CallHandle();
}

CallHandle Session::StartOwnCall(const LossRequest& request,
                                 CallOptions options, LossCallback done) {
  options.wait_for_ready = options_.wait_for_ready;
  const auto call = std::make_shared<OwnCall>();
  bool closed;
  {
    absl::MutexLock lock(&mu_);
    closed = closed_;
    if (!closed) own_calls_.insert(call);
  }
  if (closed) {
    std::move(done)(absl::CancelledError("the session was closed"));
    return CallHandle();
  }
  call->Set(client_->ComputeLossAsync(
      request, options,
      [this, call,
       done = std::move(done)](absl::StatusOr<LossResult> result) mutable {
        std::move(done)(std::move(result));
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
