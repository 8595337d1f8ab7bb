#include "server/admission/intake.h"

#include <algorithm>
#include <cassert>

#include "server/admission/admission.h"

namespace lossd::admission {
namespace {

// Flows that are remembered for what they need although no call of theirs is
// here. Beyond this number all of them are forgotten.
constexpr size_t kMaxIdleFlows = 4096;

// Fewer messages are never received at once: they take too little time to be
// the reason for late answers.
constexpr double kLeastReading = 64;

// How often, and by which factor, late answers lower that number.
constexpr absl::Duration kLowerEvery = absl::Milliseconds(100);
constexpr double kLower = 0.7;
// By how much each answer in time raises it: before the first late answer, and
// after it.
constexpr double kRaiseAtFirst = 1;
constexpr double kRaise = 0.1;

// How long the time of the last answers is believed.
constexpr absl::Duration kBelieved = absl::Milliseconds(200);

}  // namespace

Intake::Intake(const IntakeOptions& options)
    : options_(options), most_reading_(kLeastReading) {}

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
  arrival->since_ = now;
  arrival->number_ = ++numbers_;
  arrival->expected_ = flow.expected > 0 ? flow.expected
                       : largest_ > 0    ? largest_
                                         : options_.first_message_bytes;
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

bool Intake::Remove(Arrival* arrival) {
  absl::MutexLock lock(&mu_);
  if (arrival->state_ != Arrival::State::kWaiting) return false;
  Flow& flow = FlowOf(arrival->flow);
  StopWaiting(arrival, flow);
  --flow.calls;
  --calls_;
  return true;
}

void Intake::Leave(Arrival* arrival) {
  absl::MutexLock lock(&mu_);
  if (arrival->state_ == Arrival::State::kReading) StopCounting(arrival);
  arrival->state_ = Arrival::State::kOutside;
  --FlowOf(arrival->flow).calls;
  --calls_;
}

void Intake::Discount(absl::Time now) {
  while (oldest_ != nullptr && now - oldest_->since_ >= options_.patience) {
    Arrival* stale = oldest_;
    StopCounting(stale);
    stale->state_ = Arrival::State::kStale;
  }
}

void Intake::StopCounting(Arrival* arrival) {
  (arrival->before_ != nullptr ? arrival->before_->after_ : oldest_) =
      arrival->after_;
  (arrival->after_ != nullptr ? arrival->after_->before_ : newest_) =
      arrival->before_;
  arrival->before_ = arrival->after_ = nullptr;
  AddReading(arrival->flow, FlowOf(arrival->flow), -arrival->expected_);
  --reading_;
}

void Intake::AddReading(uint64_t id, Flow& flow, int64_t bytes) {
  if (!flow.waiting.empty()) turns_.erase(TurnOf(id, flow));
  flow.reading_bytes += bytes;
  reading_bytes_ += bytes;
  if (bytes > 0) flow.turn = ++turn_numbers_;
  if (!flow.waiting.empty()) turns_.insert(TurnOf(id, flow));
}

void Intake::Learn(uint64_t id, int64_t bytes, absl::Duration spent,
                   absl::Time now) {
  absl::MutexLock lock(&mu_);
  const auto entry = flows_.find(id);
  if (entry == flows_.end()) return;  // it was forgotten meanwhile
  Flow& flow = entry->second;
  flow.expected =
      std::max({bytes, flow.expected - flow.expected / 8, int64_t{1}});
  flow.spent = now - flow.learnt > kBelieved
                   ? spent
                   : flow.spent + (spent - flow.spent) / 8;
  flow.learnt = now;
  largest_ = std::max(bytes, largest_ - largest_ / 64);
  const double raise =
      lowered_ == absl::InfinitePast() ? kRaiseAtFirst : kRaise;
  most_reading_ =
      std::min(most_reading_ + raise, static_cast<double>(options_.max_calls));
}

void Intake::LearnLate(uint64_t id, absl::Duration spent, absl::Time now) {
  absl::MutexLock lock(&mu_);
  const auto entry = flows_.find(id);
  if (entry == flows_.end()) return;
  Flow& flow = entry->second;
  flow.spent = std::max(flow.spent, (flow.spent + spent) / 2);
  flow.learnt = now;
  const auto reading = static_cast<double>(reading_);
  if (reading < kLeastReading || now - lowered_ < kLowerEvery) return;
  lowered_ = now;
  most_reading_ =
      std::max(kLeastReading, std::min(most_reading_, reading) * kLower);
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
        const bool patient = now - next->since_ < options_.patience ||
                             now - forced_ < options_.patience;
        if (patient) break;
        forced_ = now;
      }
      StopWaiting(next, flow);
      if (too_late) {
        --flow.calls;
        --calls_;
        late.push_back(next);
      } else {
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
      StopWaiting(away.back(), flow);
      --flow.calls;
      --calls_;
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
  const int64_t left = options_.max_calls - calls_ - 1;
  if (left < 0) return false;
  return flow.calls == 0 || static_cast<double>(flow.calls + 1) <=
                                ShareOf(options_.max_calls, left);
}

bool Intake::HasRoom(int64_t expected, int64_t inflight_bytes) const {
  if (reading_ == 0 && inflight_bytes == 0) return true;
  if (static_cast<double>(reading_ + 1) > most_reading_) return false;
  const int64_t most = options_.max_inflight_bytes;
  return (reading_ == 0 ||
          expected + reading_bytes_ <= options_.max_reading_bytes) &&
         expected + reading_bytes_ <= most - inflight_bytes;
}

bool Intake::IsTooLate(const Arrival& arrival, const Flow& flow,
                       absl::Time now) const {
  if (arrival.deadline == absl::InfiniteFuture()) return false;
  if (now >= arrival.deadline) return true;
  // An answer that is a while ago says nothing about one that begins now.
  if (now - flow.learnt > kBelieved) return false;
  return now + flow.spent >= arrival.deadline;
}

void Intake::BeginReading(Arrival* arrival, Flow& flow, absl::Time now) {
  arrival->state_ = Arrival::State::kReading;
  arrival->since_ = now;
  arrival->before_ = newest_;
  (newest_ != nullptr ? newest_->after_ : oldest_) = arrival;
  newest_ = arrival;
  AddReading(arrival->flow, flow, arrival->expected_);
  ++reading_;
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
  const bool overloaded = now - earliest->since_ > options_.overload_wait;
  return overloaded && !IsTooLate(*earliest, flow, now) ? *flow.waiting.rbegin()
                                                        : earliest;
}

void Intake::ForgetIdleFlows() {
  for (auto flow = flows_.begin(); flow != flows_.end();) {
    flow->second.calls == 0 ? flows_.erase(flow++) : static_cast<void>(++flow);
  }
}

}  // namespace lossd::admission
