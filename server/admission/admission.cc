#include "server/admission/admission.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"

namespace lossd::admission {
namespace {

enum class Taking { kTaken, kFull, kUnfair };

// Adds `amount`, unless that would pass `limit`, or for a flow that holds `own`
// its share of it, for which `returning` counts as free. Else `value` is as it
// was, and `seen` is what stood in the way.
Taking Take(std::atomic<int64_t>& value, int64_t amount, int64_t limit,
            std::optional<int64_t> own, int64_t returning, int64_t* seen) {
  *seen = value.load();
  do {
    if (amount > limit - *seen) return Taking::kFull;
    const int64_t left = limit - *seen - amount + returning;
    const double would_hold =
        static_cast<double>(own.value_or(0)) + static_cast<double>(amount);
    if (own && would_hold > ShareOf(limit, left)) return Taking::kUnfair;
  } while (!value.compare_exchange_weak(*seen, *seen + amount));
  return Taking::kTaken;
}

absl::Status UnfairError(absl::string_view what, int64_t own, int64_t amount,
                         int64_t free, int64_t limit) {
  return absl::ResourceExhaustedError(absl::StrFormat(
      "the connection has its share of max_inflight_%s: it holds %d, the "
      "request needs %d, and the %d of %d that are free are for others too",
      what, own, amount, free, limit));
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

// Of a whole step more, so that the last of a few requests can be had.
double ShareOf(int64_t limit, int64_t left) {  // D27
  const auto whole = static_cast<double>(limit);
  const double free = 8 * (static_cast<double>(left) + 1) / whole;
  return free * free * free * whole;
}

Permit::~Permit() {
  if (controller_ != nullptr) controller_->Return(*this);
}

void Permit::MarkAnswered() {
  if (!held() || std::exchange(answered_, true)) return;
  controller_->holdings_.MarkAnswered(flow_);
}

absl::Status Permit::Resize(int64_t bytes, Refusal* refusal) {
  assert(held() && bytes >= 0 && !answered_);
  AdmissionController& controller = *controller_;
  const int64_t more = bytes - bytes_;
  if (more > 0) {
    Holding own = controller.OpenOf(flow_);
    --own.requests;  // this one
    absl::Status status = controller.TakeBytes(more, own, refusal);
    if (!status.ok()) return status;
    controller.holdings_.AddBytes(flow_, more);
    bytes_ = bytes;
  } else {
    ShrinkTo(bytes);
  }
  return absl::OkStatus();
}

void Permit::ShrinkTo(int64_t bytes) {
  assert(held() && bytes >= 0 && bytes <= bytes_ && !answered_);
  controller_->holdings_.AddBytes(flow_, bytes - bytes_);
  controller_->bytes_.fetch_add(bytes - bytes_);
  bytes_ = bytes;
}

AdmissionController::AdmissionController(const AdmissionOptions& options)
    : options_(options) {}

AdmissionController::~AdmissionController() { assert(requests_.load() == 0); }

absl::StatusOr<Permit> AdmissionController::Admit(int64_t bytes, uint64_t flow,
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
  if (absl::Status status = TakePlace(bytes, OpenOf(flow), refusal);
      !status.ok()) {
    return status;
  }
  holdings_.AddRequest(flow, bytes);
  Permit permit;
  permit.controller_ = this;
  permit.flow_ = flow;
  permit.bytes_ = bytes;
  // Only after the counters moved: StopAdmitting() and then a look at the
  // counters sees every permit that this line lets through. (All are seq_cst.)
  if (stopped_.load()) return Draining(refusal);
  TellWaiters();
  return permit;
}

Holding AdmissionController::OpenOf(uint64_t flow) const {
  Holding own = holdings_.Of(flow);
  own.answered = std::min<int64_t>(own.answered, 1);
  own.requests -= own.answered;
  return own;
}

absl::Status AdmissionController::TakePlace(int64_t bytes, const Holding& own,
                                            Refusal* refusal) {
  if (NeverFits(bytes)) {
    *refusal = Refusal::kBytes;
    return absl::ResourceExhaustedError(
        absl::StrFormat("the request needs %d bytes, more than all of "
                        "max_inflight_bytes (%d): it "
                        "can never be admitted",
                        bytes, options_.max_inflight_bytes));
  }
  const int64_t limit = options_.max_inflight_requests;
  int64_t seen = 0;
  switch (Take(requests_, 1, limit, own.requests, own.answered, &seen)) {
    case Taking::kTaken:
      break;
    case Taking::kFull:
      *refusal = Refusal::kRequests;
      return absl::ResourceExhaustedError(absl::StrFormat(
          "max_inflight_requests is reached: %d of %d requests are in flight",
          seen, limit));
    case Taking::kUnfair:
      *refusal = Refusal::kShare;
      return UnfairError("requests", own.requests, 1, limit - seen, limit);
  }
  absl::Status status = TakeBytes(bytes, own, refusal);
  if (!status.ok()) ReturnPlace();
  return status;
}

absl::Status AdmissionController::TakeBytes(int64_t bytes, const Holding& own,
                                            Refusal* refusal) {
  const int64_t limit = options_.max_inflight_bytes;
  std::optional<int64_t> held;
  if (own.requests > 0) held = own.bytes;
  int64_t seen = 0;
  switch (Take(bytes_, bytes, limit, held, /*returning=*/0, &seen)) {
    case Taking::kTaken:
      break;
    case Taking::kFull:
      *refusal = Refusal::kBytes;
      return absl::ResourceExhaustedError(absl::StrFormat(
          "max_inflight_bytes is reached: %d of %d bytes are in flight, and "
          "the request needs %d",
          seen, limit, bytes));
    case Taking::kUnfair:
      *refusal = Refusal::kShare;
      return UnfairError("bytes", own.bytes, bytes, limit - seen, limit);
  }
  return absl::OkStatus();
}

void AdmissionController::StopAdmitting() { stopped_.store(true); }

int64_t AdmissionController::inflight_bytes() const { return bytes_.load(); }

int64_t AdmissionController::inflight_requests() const {
  return requests_.load();
}

void AdmissionController::Return(const Permit& permit) {
  holdings_.RemoveRequest(permit.flow_, permit.bytes_, permit.answered_);
  // Bytes first: whoever sees no request in flight sees no bytes either.
  bytes_.fetch_sub(permit.bytes_);
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
