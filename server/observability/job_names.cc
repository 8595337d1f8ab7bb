#include "server/observability/job_names.h"

#include <algorithm>

namespace lossd::observability {

uint64_t JobNames::NumberOf(absl::string_view name, absl::Time now) {
  absl::MutexLock lock(&mu_);
  if (const auto known = places_.find(name); known != places_.end()) {
    Job& job = jobs_[known->second];
    job.last_used = std::max(job.last_used, now);
    return job.number;
  }
  const size_t place = name == kOther ? most_ : PlaceForNew(now);
  if (place == most_) {
    has_other_ = true;
    return other();
  }
  const uint64_t number = ++lives_ * places() + place;
  const Job job = {std::string(name), number, now};
  if (place == jobs_.size()) {
    jobs_.push_back(job);
  } else {
    places_.erase(jobs_[place].name);
    jobs_[place] = job;
  }
  places_[job.name] = place;
  return number;
}

size_t JobNames::PlaceForNew(absl::Time now) {
  if (jobs_.size() < most_) return jobs_.size();
  const auto idlest = std::min_element(
      jobs_.begin(), jobs_.end(),
      [](const Job& a, const Job& b) { return a.last_used < b.last_used; });
  if (idlest == jobs_.end() || now - idlest->last_used < kForgetAfter) {
    return most_;
  }
  return static_cast<size_t>(idlest - jobs_.begin());
}

}  // namespace lossd::observability
