// The callback and the handle of an asynchronous call.
#ifndef LOSSD_CLIENT_CPP_CALL_HANDLE_H_
#define LOSSD_CLIENT_CPP_CALL_HANDLE_H_

#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "client/cpp/message/loss.h"

namespace lossd::client {

using LossCallback =
    absl::AnyInvocable<void(absl::StatusOr<LossResult> result) &&>;

// A call as its handles see it.
class CancellableCall {
 public:
  virtual ~CancellableCall() = default;

  // May run on any thread, at any time.
  virtual void Cancel() = 0;
};

// A handle that cancels a call. Copies name the same call. A handle may outlive
// the call, its session and the client. Thread-safe.
class CallHandle {
 public:
  // Makes a handle of no call.
  CallHandle() = default;
  explicit CallHandle(std::weak_ptr<CancellableCall> call)
      : call_(std::move(call)) {}

  // Cancels the call: its callback gets CANCELLED, unless the call was already
  // over.
  void Cancel() const {
    if (const std::shared_ptr<CancellableCall> call = call_.lock()) {
      call->Cancel();
    }
  }

 private:
  std::weak_ptr<CancellableCall> call_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_CALL_HANDLE_H_
