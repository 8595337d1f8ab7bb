#include "server/base/periodic.h"

#include <utility>

namespace lossd {

Periodic::Periodic(const Clock* clock, absl::Duration period,
                   std::function<void()> call)
    : clock_(clock), period_(period), call_(std::move(call)) {
  thread_ = std::thread([this] { Run(); });
}

Periodic::~Periodic() {
  {
    absl::MutexLock lock(&mu_);
    ended_ = true;
    changed_.SignalAll();
  }
  thread_.join();
}

void Periodic::Run() {
  while (WaitForPeriod()) call_();
}

bool Periodic::WaitForPeriod() {
  absl::MutexLock lock(&mu_);
  const absl::Time due = clock_->Now() + period_;
  while (!ended_ && clock_->Now() < due) clock_->Wait(&mu_, &changed_, due);
  return !ended_;
}

}  // namespace lossd
