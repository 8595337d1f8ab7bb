// Admission: how much work may be inside the server at once.
#ifndef LOSSD_SERVER_ADMISSION_ADMISSION_H_
#define LOSSD_SERVER_ADMISSION_ADMISSION_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lossd::admission {

class AdmissionController;

// Why a request was refused; the label of lossd_rejected_total.
enum class Refusal { kBytes, kRequests, kShare, kDeadline, kDraining };

// The right to be inside the server: a number of bytes and one place among the
// requests. Destroying the permit gives both back. Move-only. Not thread-safe;
// permits of one controller may be used on different threads at the same time.
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

  // Changes the permit's bytes; its place stays. RESOURCE_EXHAUSTED if the
  // budget, or the flow's share of it, has no room for a larger number: then
  // nothing has changed, and `refusal` says which of the two it was. The permit
  // is held and not marked as answered.
  absl::Status Resize(int64_t bytes, Refusal* refusal);

  // Gives back all but `bytes`, which is at most bytes(). Cannot fail. The
  // permit is held and not marked as answered.
  void ShrinkTo(int64_t bytes);

  // Call this before the answer is handed over: a client that has the answer
  // may ask again while the server still holds the answer's memory. The permit
  // keeps its bytes and its place; Admit() says what the mark changes. Later
  // calls, and calls on a permit that is not held, do nothing.
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

// The permits of one flow.
struct Holding {
  int64_t bytes = 0;
  int64_t requests = 0;
  int64_t answered = 0;  // how many of the requests are marked as answered
};

// Returns how much of a budget of `limit` one flow may hold while `left` of it
// is free: (8 left / limit)^3 of the budget. This is a dynamic threshold, as
// switches use it for shared buffers; the cube replaces their factor (D27).
//
// A lone flow gets 7/8 of the budget. Flows that all take what they can end up
// with equal shares and leave room for others; twelve of them leave a
// twentieth. The cube makes the last part of a budget hard to get for a flow
// that holds much: of ten greedy flows that come one after the other, each of
// which finds less, the last still leaves a hundredth. The rule needs no count
// of the flows.
double ShareOf(int64_t limit, int64_t left);

// Gives permits within two budgets, bytes and requests, and shares each budget
// among the flows that hold some of it. Thread-safe: one mutex guards all
// counts and is held for a few hash map operations. The budgets are never
// exceeded.
class AdmissionController {
 public:
  explicit AdmissionController(const AdmissionOptions& options);
  // All permits have been destroyed by then.
  ~AdmissionController();

  // Returns a permit for `bytes` (at least 0) of the flow, a number that
  // identifies a client. Errors, with the reason in `refusal`:
  //   RESOURCE_EXHAUSTED  a budget is full, or the flow has its share of it;
  //                       the message names the budget and the numbers. Also
  //                       for a request larger than the whole budget, which can
  //                       never be admitted (NeverFits()).
  //   DEADLINE_EXCEEDED   now >= deadline, or now + expected_wait >= deadline
  //   UNAVAILABLE         StopAdmitting() was called
  //
  // A flow's only request may exceed the flow's share, though not the budgets:
  // every request that fits the budgets gets in at some time, and a newcomer
  // does while a place is free. When
  // the share is checked, one answered request of the flow is left out; when
  // the budget is checked, it counts. So a client that sends its requests one
  // after the other is never counted as having two in flight. A flow can hold
  // the whole of a budget of up to 8 requests.
  absl::StatusOr<Permit> Admit(int64_t bytes, uint64_t flow,
                               absl::Time deadline, absl::Time now,
                               absl::Duration expected_wait, Refusal* refusal);

  // Returns the error that Admit() would return now, and takes nothing.
  absl::Status Check(int64_t bytes, uint64_t flow, absl::Time deadline,
                     absl::Time now, absl::Duration expected_wait,
                     Refusal* refusal) const;

  // Returns whether a request is larger than the whole budget, so that telling
  // its client when to try again would be a lie.
  bool NeverFits(int64_t bytes) const {
    return bytes > options_.max_inflight_bytes;
  }

  // Refuses every later request as UNAVAILABLE. When this returns,
  // inflight_requests() counts every permit that was given.
  void StopAdmitting();

  // Returns whether Check() is worth asking: the server drains, or less than
  // half of a budget is free. With more, every flow's share is the whole of
  // what is free. Takes no lock.
  bool IsTight() const { return tight_.load(std::memory_order_relaxed); }

  int64_t inflight_bytes() const {
    return inflight_bytes_.load(std::memory_order_relaxed);
  }
  int64_t inflight_requests() const;
  int64_t admitted() const;  // permits given since the start
  Holding held_by(uint64_t flow) const;

  // Blocks until exactly `count` requests are in flight, and returns true;
  // returns false after `timeout`. A count that lasts only for a moment may go
  // unnoticed. A drain waits for 0.
  bool WaitForRequests(int64_t count, absl::Duration timeout);

 private:
  friend class Permit;
  struct Claim;

  // Checks what does not depend on the requests in flight.
  absl::Status CheckAlone(int64_t bytes, absl::Time deadline, absl::Time now,
                          absl::Duration expected_wait, Refusal* refusal) const;
  // Returns the claim of a request of the flow that does not fit, if one does
  // not.
  std::optional<Claim> FindMisfit(const Holding& own, int64_t bytes) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Takes a place and `bytes` for a request of the flow. Returns the claim that
  // did not fit, if one did not: then nothing was taken.
  std::optional<Claim> Take(uint64_t flow, int64_t bytes)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Claim ClaimOnBytes(int64_t amount, const Holding& own,
                     int64_t other_requests) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // For permits. Grow() returns the claim if it did not fit.
  std::optional<Claim> Grow(uint64_t flow, int64_t more);
  void Shrink(uint64_t flow, int64_t less);
  void MarkAnswered(uint64_t flow);
  void Return(const Permit& permit);

  // Publishes what is read without the lock.
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const AdmissionOptions options_;
  std::atomic<bool> tight_{false};
  std::atomic<int64_t> inflight_bytes_{0};

  mutable absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  // Sums over all flows.
  int64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t requests_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t admitted_ ABSL_GUARDED_BY(mu_) = 0;
  // By flow; only flows that hold a permit are in it.
  absl::flat_hash_map<uint64_t, Holding> holdings_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::admission

#endif  // LOSSD_SERVER_ADMISSION_ADMISSION_H_
