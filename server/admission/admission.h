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
#include "server/admission/holdings.h"

namespace lossd::admission {

class AdmissionController;

// Why a request was refused; the label of lossd_rejected_total.
enum class Refusal { kBytes, kRequests, kShare, kDeadline, kDraining };

// The right to be inside: bytes and one place, given back exactly once, when it
// is destroyed. Move-only.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept { *this = std::move(other); }
  Permit& operator=(Permit&& other) noexcept {
    std::swap(controller_, other.controller_);
    std::swap(flow_, other.flow_);
    std::swap(bytes_, other.bytes_);
    std::swap(answered_, other.answered_);
    return *this;
  }
  ~Permit();

  bool held() const { return controller_ != nullptr; }
  int64_t bytes() const { return bytes_; }

  // Stands for `bytes` from now on, with the same one place. RESOURCE_EXHAUSTED
  // if it is more and the budget or the flow's share has not got it: nothing
  // has changed then, and `refusal` says which. The permit is held.
  absl::Status Resize(int64_t bytes, Refusal* refusal);

  // Stands for `bytes` from now on, which is at most bytes(). The permit is held
  // and not marked as answered.
  void ShrinkTo(int64_t bytes);

  // Before the answer is handed over, with which the client may ask again while
  // the server still holds its memory. The permit stands for all it stood for,
  // but see Admit(). No more Resize(); nothing if the permit is not held.
  void MarkAnswered();  // D28

 private:
  friend class AdmissionController;
  AdmissionController* controller_ = nullptr;
  uint64_t flow_ = 0;
  int64_t bytes_ = 0;
  bool answered_ = false;
};

struct AdmissionOptions {
  int64_t max_inflight_bytes = int64_t{1} << 30;  // request and reply tensors
  int64_t max_inflight_requests = 4096;
};

// How much of a budget one flow may hold that leaves `left` of it free:
// (8 left / limit)^3 of it, a dynamic threshold as in the shared buffers of
// switches. A flow that is alone has 7/8 of the budget. Several that take what
// they can come to hold alike, and leave room for those who hold little: 12 of
// them a twentieth. The cube, where switches have a factor, makes the end of
// the budget hard to take for who holds much: of ten greedy flows that come one
// after the other, each finding less, the last still leaves a hundredth.
// Nobody needs to know how many flows there are.
double ShareOf(int64_t limit, int64_t left);

// Thread-safe; two counters and two of each flow, and no lock is taken unless
// somebody is in WaitForRequests(). The place is taken first and undone if the
// bytes do not fit, so that a large request that is refused never makes a small
// one beside it be refused.
//
// The budgets are never exceeded. A flow's share may be, by one request for
// each other thread that admits one of the same flow at the same instant.
class AdmissionController {
 public:
  explicit AdmissionController(const AdmissionOptions& options);
  // Every permit has come back by then, and those who gave them back have
  // returned from it.
  ~AdmissionController();

  // A permit for `bytes` of the flow (a hash, such as a connection's), or
  //   RESOURCE_EXHAUSTED  the budget of bytes or requests is full, or the flow
  //                       has its share of it (the message names which, and the
  //                       numbers); also a request that is larger than the
  //                       whole budget: that one can never be retried
  //   DEADLINE_EXCEEDED   now >= deadline, or now + expected_wait >= deadline
  //   UNAVAILABLE         StopAdmitting() was called
  // `refusal` says which when the status is not OK; `bytes` is not negative.
  // A flow's only request is held to the budget, not to the flow's share:
  // whatever fits gets in some time. One request of the flow that is answered
  // is taken for one that has come back, though not by the budgets: so whoever
  // sends one request after the other is never held to have two. A budget of up
  // to 8 requests can be had whole.
  absl::StatusOr<Permit> Admit(int64_t bytes, uint64_t flow,
                               absl::Time deadline, absl::Time now,
                               absl::Duration expected_wait, Refusal* refusal);

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
  // Never less than what the flow holds.
  Holding held_by(uint64_t flow) const { return holdings_.Of(flow); }

  // Returns true as soon as exactly `count` requests are in flight, false at
  // `deadline`. A drain waits for 0; a number that is passed through at once
  // may go unseen.
  bool WaitForRequests(int64_t count, absl::Time deadline);

 private:
  friend class Permit;
  // What others than the flow see of it: without the one answered request that
  // is on its way back, which `answered` then counts.
  Holding OpenOf(uint64_t flow) const;
  // Both count in the totals alone. `own` is what the flow holds without the
  // permit that is asked for: its bytes, if it holds no other, are not looked
  // at.
  absl::Status TakePlace(int64_t bytes, const Holding& own, Refusal* refusal);
  absl::Status TakeBytes(int64_t bytes, const Holding& own, Refusal* refusal);
  void Return(const Permit& permit);
  void ReturnPlace();
  void TellWaiters();

  const AdmissionOptions options_;
  // Counted after the totals and uncounted before them.
  Holdings holdings_;
  std::atomic<int64_t> bytes_{0};
  std::atomic<int64_t> requests_{0};
  std::atomic<bool> stopped_{false};
  std::atomic<int> waiters_{0};  // in WaitForRequests()
  absl::Mutex mu_;               // what they sleep on; guards nothing
};

}  // namespace lossd::admission

#endif  // LOSSD_SERVER_ADMISSION_ADMISSION_H_
