#include "server/admission/intake.h"

#include <algorithm>
#include <cassert>

#include "server/admission/admission.h"

namespace lossd::admission {
namespace {

// Flows that are remembered for what they need although no call of theirs is
// here. Beyond this number all of them are forgotten.
constexpr size_t kMaxIdleFlows = 4096;

// A message that is sent at this rate is not given up.
constexpr int64_t kSlowestBytesPerSecond = 8 << 20;

// How long the time of the last answers is believed.
constexpr absl::Duration kBelieved = absl::Milliseconds(200);

}  // namespace

void ArrivalQueue::Add(Arrival* arrival, absl::Time now) {
  arrival->counted_ = true;
  arrival->counted_since_ = now;
  arrival->before_ = newest_;
  (newest_ != nullptr ? newest_->after_ : oldest_) = arrival;
  newest_ = arrival;
  ++size_;
}

void ArrivalQueue::Remove(Arrival* arrival) {
  (arrival->before_ != nullptr ? arrival->before_->after_ : oldest_) =
      arrival->after_;
  (arrival->after_ != nullptr ? arrival->after_->before_ : newest_) =
      arrival->before_;
  arrival->before_ = arrival->after_ = nullptr;
  arrival->counted_ = false;
  --size_;
}

Intake::Intake(const IntakeOptions& options)
    : options_(options), limit_(options.max_calls, options.wanted_wait) {}

Intake::Decision Intake::Enter(Arrival* arrival, int64_t inflight_bytes,
                               absl::Time now) {
  absl::MutexLock lock(&mu_);
  if (flows_.size() > kMaxIdleFlows + static_cast<size_t>(calls_)) {
    ForgetIdleFlows();
  }
  Flow& flow = flows_[arrival->flow];
  if (!HasPlace(flow)) return Decision::kFull;
  if (IsTooLate(*arrival, flow, now)) return Decision::kTooLate;
  Discount(now);
  arrival->entered_ = now;
  arrival->number_ = ++numbers_;
  Expect(arrival, flow);
  ++flow.calls;
  ++calls_;
  // Nobody overtakes those that wait, except a flow with less on its way.
  const bool first =
      turns_.empty() || flow.reading_bytes < std::get<0>(*turns_.begin());
  if (first && flow.waiting.empty() &&
      HasRoom(arrival->expected_, inflight_bytes)) {
    BeginReading(arrival, flow, now);
    return Decision::kRead;
  }
  arrival->state_ = Arrival::State::kWaiting;
  if (flow.waiting.empty()) {
    flow.turn = ++turn_numbers_;
    turns_.insert(TurnOf(arrival->flow, flow));
  }
  flow.waiting.insert(arrival);
  waiting_.fetch_add(1, std::memory_order_relaxed);
  return Decision::kWait;
}

// A message of an unknown size is not given more time, or the first client of a
// server could hold the second up for half a minute.
void Intake::Expect(Arrival* arrival, const Flow& flow) const {
  const int64_t known = flow.expected > 0 ? flow.expected : largest_;
  arrival->expected_ = known > 0 ? known : options_.first_message_bytes;
  arrival->patience_ =
      options_.patience + absl::Seconds(known / kSlowestBytesPerSecond);
}

bool Intake::Remove(Arrival* arrival, absl::Time now) {
  absl::MutexLock lock(&mu_);
  if (arrival->state_ != Arrival::State::kWaiting) return false;
  EndWait(arrival, FlowOf(arrival->flow));
  if (IsNearlyLate(*arrival, now)) NoteLate(now);
  return true;
}

void Intake::EndWait(Arrival* arrival, Flow& flow) {
  StopWaiting(arrival, flow);
  --flow.calls;
  --calls_;
}

// A call that took a quarter of the time it had is a warning: with a longer
// queue the next ones are late.
bool Intake::IsNearlyLate(const Arrival& arrival, absl::Time now) {
  return 3 * (now - arrival.entered_) > arrival.deadline - now;
}

void Intake::NoteLate(absl::Time now) {
  limit_.OnLate(reading_.size(), calls_ + received_.size(), now);
}

void Intake::Received(Arrival* arrival, absl::Time now) {
  absl::MutexLock lock(&mu_);
  EndReading(arrival);
  arrival->state_ = Arrival::State::kReceived;
  received_.Add(arrival, now);
  moved_ = now;
}

void Intake::EndReading(Arrival* arrival) {
  if (arrival->counted_) StopReading(arrival);
  --FlowOf(arrival->flow).calls;
  --calls_;
}

void Intake::EndStay(Arrival* arrival, absl::Time now) {
  if (arrival->state_ == Arrival::State::kReading) {
    EndReading(arrival);
  } else if (arrival->counted_) {
    received_.Remove(arrival);
  }
  arrival->state_ = Arrival::State::kOutside;
  moved_ = now;
}

void Intake::Leave(Arrival* arrival, absl::Time now) {
  absl::MutexLock lock(&mu_);
  EndStay(arrival, now);
}

void Intake::Discount(absl::Time now) {
  while (Arrival* stale = reading_.Stale(now)) StopReading(stale);
  while (Arrival* stale = received_.Stale(now)) received_.Remove(stale);
}

void Intake::StopReading(Arrival* arrival) {
  reading_.Remove(arrival);
  AddReading(arrival->flow, FlowOf(arrival->flow), -arrival->expected_);
}

void Intake::AddReading(uint64_t id, Flow& flow, int64_t bytes) {
  if (!flow.waiting.empty()) turns_.erase(TurnOf(id, flow));
  flow.reading_bytes += bytes;
  reading_bytes_ += bytes;
  if (bytes > 0) flow.turn = ++turn_numbers_;
  if (!flow.waiting.empty()) turns_.insert(TurnOf(id, flow));
}

void Intake::LeaveAnswered(Arrival* arrival, int64_t bytes, absl::Time now) {
  const int64_t spent = absl::ToInt64Nanoseconds(now - arrival->let_in_);
  absl::MutexLock lock(&mu_);
  EndStay(arrival, now);
  if (IsNearlyLate(*arrival, now)) {
    NoteLate(now);
  } else {
    limit_.OnAnswered(now);
  }
  largest_ = std::max(bytes, largest_ - largest_ / 64);
  const auto entry = flows_.find(arrival->flow);
  if (entry == flows_.end()) return;  // it was forgotten meanwhile
  Flow& flow = entry->second;
  flow.expected =
      std::max({bytes, flow.expected - flow.expected / 8, int64_t{1}});
  flow.spent = now - flow.learnt > kBelieved
                   ? spent
                   : flow.spent + (spent - flow.spent) / 8;
  flow.learnt = now;
}

void Intake::LeaveLate(Arrival* arrival, absl::Time now) {
  const int64_t spent = absl::ToInt64Nanoseconds(now - arrival->let_in_);
  absl::MutexLock lock(&mu_);
  EndStay(arrival, now);
  NoteLate(now);
  const auto entry = flows_.find(arrival->flow);
  if (entry == flows_.end()) return;
  Flow& flow = entry->second;
  flow.spent = std::max(flow.spent, (flow.spent + spent) / 2);
  flow.learnt = now;
}

void Intake::LetIn(int64_t inflight_bytes, absl::Time now) {
  std::vector<Arrival*> in;
  std::vector<Arrival*> late;
  {
    absl::MutexLock lock(&mu_);
    Discount(now);
    while (!turns_.empty()) {
      Flow& flow = FlowOf(std::get<2>(*turns_.begin()));
      Arrival* next = Next(flow, now);
      const bool too_late = IsTooLate(*next, flow, now);
      if (!too_late && !HasRoom(next->expected_, inflight_bytes)) {
        const bool patient = now - next->entered_ < next->patience_ ||
                             now - moved_ < next->patience_;
        if (patient) break;
        moved_ = now;
      }
      if (too_late) {
        EndWait(next, flow);
        NoteLate(now);
        late.push_back(next);
      } else {
        StopWaiting(next, flow);
        BeginReading(next, flow, now);
        in.push_back(next);
      }
    }
  }
  const absl::Status why = absl::DeadlineExceededError(
      "the deadline is too near: the message was not received");
  for (Arrival* arrival : late) arrival->reader->OnTurnedAway(why);
  for (Arrival* arrival : in) arrival->reader->OnMayRead();
}

void Intake::TurnAllAway(const absl::Status& why) {
  std::vector<Arrival*> away;
  {
    absl::MutexLock lock(&mu_);
    while (!turns_.empty()) {
      Flow& flow = flows_.find(std::get<2>(*turns_.begin()))->second;
      away.push_back(*flow.waiting.begin());
      EndWait(away.back(), flow);
    }
  }
  for (Arrival* arrival : away) arrival->reader->OnTurnedAway(why);
}

int64_t Intake::LeastExpected(uint64_t id) const {
  absl::MutexLock lock(&mu_);
  const auto flow = flows_.find(id);
  return flow == flows_.end() ? 0 : flow->second.expected / 2;
}

int64_t Intake::reading_bytes() const {
  absl::MutexLock lock(&mu_);
  return reading_bytes_;
}

int64_t Intake::calls() const {
  absl::MutexLock lock(&mu_);
  return calls_;
}

// A flow is not forgotten while calls of it are here.
Intake::Flow& Intake::FlowOf(uint64_t id) { return flows_.find(id)->second; }

// The places are shared as admission shares its budgets; a flow's only call
// needs a free place alone.
bool Intake::HasPlace(const Flow& flow) const {
  const auto fits = [&flow](int64_t most, int64_t calls) {
    const int64_t left = most - calls - 1;
    if (left < 0) return false;
    return flow.calls == 0 ||
           static_cast<double>(flow.calls + 1) <= ShareOf(most, left);
  };
  return fits(options_.max_calls, calls_) &&
         fits(limit_.most_calls(), calls_ + received_.size());
}

bool Intake::HasRoom(int64_t expected, int64_t inflight_bytes) const {
  const bool reads = reading_.size() > 0;
  if (!reads && received_.size() == 0 && inflight_bytes == 0) return true;
  if (!limit_.Allows(reading_.size(), received_.size())) return false;
  const int64_t most = options_.max_inflight_bytes;
  return (!reads || expected + reading_bytes_ <= options_.max_reading_bytes) &&
         expected + reading_bytes_ <= most - inflight_bytes;
}

bool Intake::IsTooLate(const Arrival& arrival, const Flow& flow,
                       absl::Time now) const {
  if (arrival.deadline == absl::InfiniteFuture()) return false;
  if (now >= arrival.deadline) return true;
  // An answer that is a while ago says nothing about one that begins now.
  if (now - flow.learnt > kBelieved) return false;
  return now + absl::Nanoseconds(flow.spent) >= arrival.deadline;
}

void Intake::BeginReading(Arrival* arrival, Flow& flow, absl::Time now) {
  arrival->state_ = Arrival::State::kReading;
  arrival->let_in_ = now;
  reading_.Add(arrival, now);
  AddReading(arrival->flow, flow, arrival->expected_);
}

void Intake::StopWaiting(Arrival* arrival, Flow& flow) {
  arrival->state_ = Arrival::State::kOutside;
  flow.waiting.erase(arrival);
  if (flow.waiting.empty()) turns_.erase(TurnOf(arrival->flow, flow));
  waiting_.fetch_sub(1, std::memory_order_relaxed);
}

// With a queue that cannot be served in time, the earliest deadline is that of
// the call that is lost anyway.
Arrival* Intake::Next(const Flow& flow, absl::Time now) const {
  Arrival* earliest = *flow.waiting.begin();
  const bool overloaded = now - earliest->entered_ > options_.overload_wait;
  return overloaded && !IsTooLate(*earliest, flow, now) ? *flow.waiting.rbegin()
                                                        : earliest;
}

void Intake::ForgetIdleFlows() {
  for (auto flow = flows_.begin(); flow != flows_.end();) {
    flow->second.calls == 0 ? flows_.erase(flow++) : static_cast<void>(++flow);
  }
}

}  // namespace lossd::admission
