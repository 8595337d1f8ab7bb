// Admission: how much work may be inside the server at once.
#ifndef LOSSD_SERVER_ADMISSION_ADMISSION_H_
#define LOSSD_SERVER_ADMISSION_ADMISSION_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lossd::admission {

class AdmissionController;

// The right to be inside: bytes and one place, given back exactly once, when it
// is destroyed. Move-only.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept { *this = std::move(other); }
  Permit& operator=(Permit&& other) noexcept {
    std::swap(controller_, other.controller_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Permit();

  bool held() const { return controller_ != nullptr; }
  int64_t bytes() const { return bytes_; }

  // Stands for `bytes` from now on, with the same one place. RESOURCE_EXHAUSTED
  // if it is more and the budget has not got it: nothing has changed then. The
  // permit is held.
  absl::Status Resize(int64_t bytes);

 private:
  friend class AdmissionController;
  AdmissionController* controller_ = nullptr;
  int64_t bytes_ = 0;
};

// Why a request was refused; the label of lossd_rejected_total.
enum class Refusal { kBytes, kRequests, kDeadline, kDraining };

struct AdmissionOptions {
  int64_t max_inflight_bytes = int64_t{1} << 30;  // request and reply tensors
  int64_t max_inflight_requests = 4096;
};

// Thread-safe; two counters, and no lock is taken unless somebody is in
// WaitForRequests(). The place is taken first and undone if the bytes do not
// fit, so that a large request that is refused never makes a small one beside
// it be refused.
class AdmissionController {
 public:
  explicit AdmissionController(const AdmissionOptions& options);
  // Every permit has come back by then, and those who gave them back have
  // returned from it.
  ~AdmissionController();

  // A permit for `bytes`, or
  //   RESOURCE_EXHAUSTED  the budget of bytes or requests is full (the message
  //   names
  //                       which, and both numbers); also a request that is
  //                       larger than the whole budget: that one can never be
  //                       retried
  //   DEADLINE_EXCEEDED   now >= deadline, or now + expected_wait >= deadline
  //   UNAVAILABLE         StopAdmitting() was called
  // `refusal` says which when the status is not OK; `bytes` is not negative.
  absl::StatusOr<Permit> Admit(int64_t bytes, absl::Time deadline,
                               absl::Time now, absl::Duration expected_wait,
                               Refusal* refusal);

  // True for a request that is larger than the whole budget: telling its client
  // when to try again would be a lie.
  bool NeverFits(int64_t bytes) const {
    return bytes > options_.max_inflight_bytes;
  }

  // From here on everything is refused as UNAVAILABLE: once this has returned,
  // no permit is given that inflight_requests() does not count yet.
  void StopAdmitting();

  int64_t inflight_bytes() const;
  int64_t inflight_requests() const;

  // Returns true as soon as exactly `count` requests are in flight, false at
  // `deadline`. A drain waits for 0; a number that is passed through at once
  // may go unseen.
  bool WaitForRequests(int64_t count, absl::Time deadline);

 private:
  friend class Permit;
  absl::Status TakePlace(int64_t bytes, Refusal* refusal);
  absl::Status TakeBytes(int64_t bytes);
  void Return(int64_t bytes);
  void ReturnPlace();
  void TellWaiters();

  const AdmissionOptions options_;
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> requests_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<int> waiters_{0};  // in WaitForRequests()
  absl::Mutex mu_;               // what they sleep on; guards nothing
};

}  // namespace lossd::admission

#endif  // LOSSD_SERVER_ADMISSION_ADMISSION_H_
