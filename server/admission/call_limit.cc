#include "server/admission/call_limit.h"

#include <algorithm>

namespace lossd::admission {
namespace {

// Fewer calls are never the limit: they keep every executor busy, and a few of
// them may belong to clients that send slowly.
constexpr double kLeast = 64;

// How often, and by which factor, late answers lower the bounds.
constexpr absl::Duration kLowerEvery = absl::Milliseconds(100);
constexpr double kLower = 0.7;
// By how much each answer in time raises them: before the first late answer,
// and after it.
constexpr double kRaiseAtFirst = 1;
constexpr double kRaise = 0.02;

// The rate of answers is measured over at least this time and this number.
constexpr absl::Duration kMeasureAtLeast = absl::Milliseconds(20);
constexpr int64_t kAnswersAtLeast = 16;
// The weight of the newest measurement.
constexpr double kNewest = 0.5;

// Returns the bound after a late answer, with `count` calls that it bounds. A
// few calls are not the reason for a late answer.
double Lowered(double bound, int64_t count) {
  const auto used = static_cast<double>(count);
  return used < kLeast ? bound
                       : std::max(kLeast, std::min(bound, used) * kLower);
}

}  // namespace

CallLimit::CallLimit(int64_t max_calls, absl::Duration wanted_wait)
    : max_calls_(static_cast<double>(max_calls)),
      wanted_wait_(absl::ToDoubleSeconds(wanted_wait)),
      most_reading_(kLeast),
      most_received_(kLeast),
      most_calls_(2 * max_calls_) {}

bool CallLimit::Allows(int64_t reading, int64_t received) const {
  const auto waiting = static_cast<double>(received);
  return waiting < most_received_ / 4
             ? static_cast<double>(reading + 1) <= most_reading_
             : static_cast<double>(reading + received + 1) <= most_received_;
}

void CallLimit::OnAnswered(absl::Time now) {
  const double raise =
      lowered_ == absl::InfinitePast() ? kRaiseAtFirst : kRaise;
  most_reading_ = std::min(most_reading_ + raise, max_calls_);
  most_calls_ = std::min(most_calls_ + raise, 2 * max_calls_);
  if (++answers_ >= kAnswersAtLeast) MeasureRate(now);
}

// A measurement that spans an idle time is too low, which the next one mends.
void CallLimit::MeasureRate(absl::Time now) {
  const absl::Duration span = now - measured_;
  if (span < kMeasureAtLeast) return;
  const double rate =
      static_cast<double>(answers_) / absl::ToDoubleSeconds(span);
  most_received_ += kNewest * (rate * wanted_wait_ - most_received_);
  most_received_ = std::max(most_received_, kLeast);
  measured_ = now;
  answers_ = 0;
}

void CallLimit::OnLate(int64_t reading, int64_t calls, absl::Time now) {
  if (now - lowered_ < kLowerEvery) return;
  lowered_ = now;
  most_reading_ = Lowered(most_reading_, reading);
  most_calls_ = Lowered(most_calls_, calls);
}

}  // namespace lossd::admission
