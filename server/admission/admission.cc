#include "server/admission/admission.h"

#include <algorithm>
#include <cassert>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"

namespace lossd::admission {
namespace {

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

// "+ 1": with a budget of a few requests, one flow may still take the last.
double ShareOf(int64_t limit, int64_t left) {
  const auto whole = static_cast<double>(limit);
  const double free = 8 * (static_cast<double>(left) + 1) / whole;
  return free * free * free * whole;
}

// The part of one budget that a request asks for, and the budget as the request
// finds it. The error of a claim that fails is written from it after the mutex
// is released.
struct AdmissionController::Claim {
  bool FitsBudget() const { return amount <= limit - in_use; }
  bool FitsShare() const;
  bool Fits() const { return FitsBudget() && FitsShare(); }
  // The error of a claim that does not fit, and its label.
  absl::Status Error(Refusal* refusal) const;

  Refusal full;  // the label if the budget is full: kRequests or kBytes
  int64_t amount = 0;
  int64_t limit = 0;
  int64_t in_use = 0;
  // The part that the flow holds; absent if its share is not looked at.
  std::optional<int64_t> held;
  int64_t returning = 0;  // the part in use that counts as free in the share
};

bool AdmissionController::Claim::FitsShare() const {
  if (!held) return true;
  const int64_t left = limit - in_use - amount + returning;
  const double would_hold =
      static_cast<double>(*held) + static_cast<double>(amount);
  return would_hold <= ShareOf(limit, left);
}

absl::Status AdmissionController::Claim::Error(Refusal* refusal) const {
  const bool of_bytes = full == Refusal::kBytes;
  if (FitsBudget()) {
    *refusal = Refusal::kShare;
    return absl::ResourceExhaustedError(absl::StrFormat(
        "the connection has its share of max_inflight_%s: it holds %d, the "
        "request needs %d, and the %d of %d that are free are for others too",
        of_bytes ? "bytes" : "requests", *held, amount, limit - in_use, limit));
  }
  *refusal = full;
  if (of_bytes) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "max_inflight_bytes is reached: %d of %d bytes are in flight, and the "
        "request needs %d",
        in_use, limit, amount));
  }
  return absl::ResourceExhaustedError(absl::StrFormat(
      "max_inflight_requests is reached: %d of %d requests are in flight",
      in_use, limit));
}

Permit::~Permit() {
  if (held()) controller_->Return(*this);
}

void Permit::MarkAnswered() {
  if (!held() || std::exchange(answered_, true)) return;
  controller_->MarkAnswered(flow_);
}

absl::Status Permit::Resize(int64_t bytes, Refusal* refusal) {
  assert(held() && bytes >= 0 && !answered_);
  if (bytes <= bytes_) {
    ShrinkTo(bytes);
    return absl::OkStatus();
  }
  if (const auto failed = controller_->Grow(flow_, bytes - bytes_)) {
    return failed->Error(refusal);
  }
  bytes_ = bytes;
  return absl::OkStatus();
}

void Permit::ShrinkTo(int64_t bytes) {
  assert(held() && bytes >= 0 && bytes <= bytes_ && !answered_);
  controller_->Shrink(flow_, bytes_ - bytes);
  bytes_ = bytes;
}

AdmissionController::AdmissionController(const AdmissionOptions& options)
    : options_(options) {}

AdmissionController::~AdmissionController() {
  absl::MutexLock lock(&mu_);
  assert(requests_ == 0 && bytes_ == 0 && holdings_.empty());
}

absl::StatusOr<Permit> AdmissionController::Admit(int64_t bytes, uint64_t flow,
                                                  absl::Time deadline,
                                                  absl::Time now,
                                                  absl::Duration expected_wait,
                                                  Refusal* refusal) {
  assert(bytes >= 0);
  absl::Status possible =
      CheckAlone(bytes, deadline, now, expected_wait, refusal);
  std::optional<Claim> failed;
  {
    absl::MutexLock lock(&mu_);
    // This comes before all other errors: the client should go elsewhere.
    if (stopped_) return Draining(refusal);
    if (possible.ok()) failed = Take(flow, bytes);
  }
  if (!possible.ok()) return possible;
  if (failed) return failed->Error(refusal);
  Permit permit;
  permit.controller_ = this;
  permit.flow_ = flow;
  permit.bytes_ = bytes;
  return permit;
}

absl::Status AdmissionController::CheckAlone(int64_t bytes, absl::Time deadline,
                                             absl::Time now,
                                             absl::Duration expected_wait,
                                             Refusal* refusal) const {
  if (absl::Status status = CheckDeadline(deadline, now, expected_wait);
      !status.ok()) {
    *refusal = Refusal::kDeadline;
    return status;
  }
  if (NeverFits(bytes)) {
    *refusal = Refusal::kBytes;
    return absl::ResourceExhaustedError(
        absl::StrFormat("the request needs %d bytes, more than all of "
                        "max_inflight_bytes (%d): it can never be admitted",
                        bytes, options_.max_inflight_bytes));
  }
  return absl::OkStatus();
}

absl::Status AdmissionController::Check(int64_t bytes, uint64_t flow,
                                        absl::Time deadline, absl::Time now,
                                        absl::Duration expected_wait,
                                        Refusal* refusal) const {
  absl::Status possible =
      CheckAlone(bytes, deadline, now, expected_wait, refusal);
  std::optional<Claim> failed;
  {
    absl::MutexLock lock(&mu_);
    if (stopped_) return Draining(refusal);
    if (possible.ok()) {
      const auto entry = holdings_.find(flow);
      failed = FindMisfit(entry == holdings_.end() ? Holding() : entry->second,
                          bytes);
    }
  }
  if (!possible.ok()) return possible;
  return failed ? failed->Error(refusal) : absl::OkStatus();
}

std::optional<AdmissionController::Claim> AdmissionController::FindMisfit(
    const Holding& own, int64_t bytes) const {
  const int64_t returning = std::min<int64_t>(own.answered, 1);
  const int64_t open_requests = own.requests - returning;
  Claim claim = {.full = Refusal::kRequests,
                 .amount = 1,
                 .limit = options_.max_inflight_requests,
                 .in_use = requests_,
                 .returning = returning};
  if (open_requests > 0) claim.held = open_requests;
  if (claim.Fits()) claim = ClaimOnBytes(bytes, own, open_requests);
  if (!claim.Fits()) return claim;
  return std::nullopt;
}

std::optional<AdmissionController::Claim> AdmissionController::Take(
    uint64_t flow, int64_t bytes) {
  const auto [entry, is_new] = holdings_.try_emplace(flow);
  Holding& own = entry->second;
  if (std::optional<Claim> misfit = FindMisfit(own, bytes)) {
    if (is_new) holdings_.erase(entry);
    return misfit;
  }
  ++own.requests;
  ++requests_;
  ++admitted_;
  own.bytes += bytes;
  bytes_ += bytes;
  Publish();
  return std::nullopt;
}

AdmissionController::Claim AdmissionController::ClaimOnBytes(
    int64_t amount, const Holding& own, int64_t other_requests) const {
  Claim claim = {.full = Refusal::kBytes,
                 .amount = amount,
                 .limit = options_.max_inflight_bytes,
                 .in_use = bytes_};
  if (other_requests > 0) claim.held = own.bytes;
  return claim;
}

std::optional<AdmissionController::Claim> AdmissionController::Grow(
    uint64_t flow, int64_t more) {
  absl::MutexLock lock(&mu_);
  Holding& own = holdings_.find(flow)->second;
  const int64_t returning = std::min<int64_t>(own.answered, 1);
  const Claim claim = ClaimOnBytes(more, own, own.requests - returning - 1);
  if (!claim.Fits()) return claim;
  own.bytes += more;
  bytes_ += more;
  Publish();
  return std::nullopt;
}

void AdmissionController::Shrink(uint64_t flow, int64_t less) {
  absl::MutexLock lock(&mu_);
  holdings_.find(flow)->second.bytes -= less;
  bytes_ -= less;
  Publish();
}

void AdmissionController::MarkAnswered(uint64_t flow) {
  absl::MutexLock lock(&mu_);
  ++holdings_.find(flow)->second.answered;
}

void AdmissionController::Return(const Permit& permit) {
  absl::MutexLock lock(&mu_);
  const auto entry = holdings_.find(permit.flow_);
  Holding& own = entry->second;
  own.bytes -= permit.bytes_;
  own.answered -= permit.answered_ ? 1 : 0;
  if (--own.requests == 0) holdings_.erase(entry);
  bytes_ -= permit.bytes_;
  --requests_;
  Publish();
}

void AdmissionController::StopAdmitting() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
  Publish();
}

void AdmissionController::Publish() {
  inflight_bytes_.store(bytes_, std::memory_order_relaxed);
  tight_.store(stopped_ || 2 * requests_ > options_.max_inflight_requests ||
                   bytes_ > options_.max_inflight_bytes / 2,
               std::memory_order_relaxed);
}

int64_t AdmissionController::inflight_requests() const {
  absl::MutexLock lock(&mu_);
  return requests_;
}

int64_t AdmissionController::admitted() const {
  absl::MutexLock lock(&mu_);
  return admitted_;
}

Holding AdmissionController::held_by(uint64_t flow) const {
  absl::MutexLock lock(&mu_);
  const auto entry = holdings_.find(flow);
  return entry == holdings_.end() ? Holding() : entry->second;
}

bool AdmissionController::WaitForRequests(int64_t count,
                                          absl::Duration timeout) {
  const auto reached = [this, count]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    return requests_ == count;
  };
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&reached), timeout);
}

}  // namespace lossd::admission
