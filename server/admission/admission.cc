#include "server/admission/admission.h"

#include <cassert>

#include "absl/strings/str_format.h"

namespace lossd::admission {
namespace {

// Adds `amount` unless that would pass `limit`. False: `value` is as it was,
// and `seen` is what stood in the way.
bool AddWithin(std::atomic<int64_t>& value, int64_t amount, int64_t limit,
               int64_t* seen) {
  *seen = value.load();
  while (amount <= limit - *seen) {
    if (value.compare_exchange_weak(*seen, *seen + amount)) return true;
  }
  return false;
}

absl::Status CheckDeadline(absl::Time deadline, absl::Time now,
                           absl::Duration expected_wait) {
  if (now >= deadline) {
    return absl::DeadlineExceededError(
        absl::StrFormat("the deadline passed %s before admission",
                        absl::FormatDuration(now - deadline)));
  }
  if (now + expected_wait >= deadline) {
    return absl::DeadlineExceededError(absl::StrFormat(
        "the deadline is %s away and the queue alone takes about %s",
        absl::FormatDuration(deadline - now),
        absl::FormatDuration(expected_wait)));
  }
  return absl::OkStatus();
}

absl::Status Draining(Refusal* refusal) {
  *refusal = Refusal::kDraining;
  return absl::UnavailableError("the server is draining");
}

}  // namespace

Permit::~Permit() {
  if (controller_ != nullptr) controller_->Return(bytes_);
}

absl::Status Permit::Resize(int64_t bytes) {
  assert(held() && bytes >= 0);
  if (bytes > bytes_) {
    absl::Status status = controller_->TakeBytes(bytes - bytes_);
    if (!status.ok()) return status;
  } else {
    controller_->bytes_.fetch_sub(bytes_ - bytes);
  }
  bytes_ = bytes;
  return absl::OkStatus();
}

AdmissionController::AdmissionController(const AdmissionOptions& options)
    : options_(options) {}

AdmissionController::~AdmissionController() { assert(requests_.load() == 0); }

absl::StatusOr<Permit> AdmissionController::Admit(int64_t bytes,
                                                  absl::Time deadline,
                                                  absl::Time now,
                                                  absl::Duration expected_wait,
                                                  Refusal* refusal) {
  assert(bytes >= 0);
  if (stopped_.load()) return Draining(refusal);
  if (absl::Status status = CheckDeadline(deadline, now, expected_wait);
      !status.ok()) {
    *refusal = Refusal::kDeadline;
    return status;
  }
  if (absl::Status status = TakePlace(bytes, refusal); !status.ok())
    return status;
  Permit permit;
  permit.controller_ = this;
  permit.bytes_ = bytes;
  // Only after the counters moved: StopAdmitting() and then a look at the
  // counters sees every permit that this line lets through. (All four are
  // seq_cst.)
  if (stopped_.load()) return Draining(refusal);
  TellWaiters();
  return permit;
}

absl::Status AdmissionController::TakePlace(int64_t bytes, Refusal* refusal) {
  int64_t seen = 0;
  if (NeverFits(bytes)) {
    *refusal = Refusal::kBytes;
    return absl::ResourceExhaustedError(
        absl::StrFormat("the request needs %d bytes, more than all of "
                        "max_inflight_bytes (%d): it "
                        "can never be admitted",
                        bytes, options_.max_inflight_bytes));
  }
  if (!AddWithin(requests_, 1, options_.max_inflight_requests, &seen)) {
    *refusal = Refusal::kRequests;
    return absl::ResourceExhaustedError(absl::StrFormat(
        "max_inflight_requests is reached: %d of %d requests are in flight",
        seen, options_.max_inflight_requests));
  }
  if (absl::Status status = TakeBytes(bytes); !status.ok()) {
    ReturnPlace();
    *refusal = Refusal::kBytes;
    return status;
  }
  return absl::OkStatus();
}

absl::Status AdmissionController::TakeBytes(int64_t bytes) {
  int64_t seen = 0;
  if (AddWithin(bytes_, bytes, options_.max_inflight_bytes, &seen)) {
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "max_inflight_bytes is reached: %d of %d bytes are in flight, and the "
      "request needs %d",
      seen, options_.max_inflight_bytes, bytes));
}

void AdmissionController::StopAdmitting() { stopped_.store(true); }

int64_t AdmissionController::inflight_bytes() const { return bytes_.load(); }

int64_t AdmissionController::inflight_requests() const {
  return requests_.load();
}

void AdmissionController::Return(int64_t bytes) {
  // Bytes first: whoever sees no request in flight sees no bytes either.
  bytes_.fetch_sub(bytes);
  ReturnPlace();
}

void AdmissionController::ReturnPlace() {
  requests_.fetch_sub(1);
  TellWaiters();
}

// After a change of requests_. Either this sees the waiter, or the waiter, who
// is counted before it looks, sees the change. (Both are seq_cst.)
void AdmissionController::TellWaiters() {
  if (waiters_.load() == 0) return;
  // Whoever awaits a condition looks at it again when the mutex is let go.
  absl::MutexLock lock(&mu_);
}

bool AdmissionController::WaitForRequests(int64_t count, absl::Time deadline) {
  const auto reached = [this, count] { return requests_.load() == count; };
  waiters_.fetch_add(1);
  bool seen = false;
  {
    absl::MutexLock lock(&mu_);
    seen = mu_.AwaitWithDeadline(absl::Condition(&reached), deadline);
  }
  waiters_.fetch_sub(1);
  return seen;
}

}  // namespace lossd::admission
