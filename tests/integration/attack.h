// Requests that mean harm: references that are wrong in every way, to regions
// that come and go.
#ifndef LOSSD_TESTS_INTEGRATION_ATTACK_H_
#define LOSSD_TESTS_INTEGRATION_ATTACK_H_

#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd {

using Random = std::mt19937_64;

inline constexpr uint64_t kBytes = 1 << 18;  // of every region

// Whether something happens that does once in `times`.
inline bool OneIn(Random& random, uint64_t times) {
  return random() % times == 0;
}

// The newest regions of the attackers, alive or gone, and how often they were
// used: a region lives until some more requests have been sent.
class Targets {
 public:
  void Add(std::string name) {
    const absl::MutexLock lock(&mu_);
    names_.push_back(std::move(name));
    if (names_.size() > 4) names_.pop_front();
  }
  std::string Any(Random& random) {
    const absl::MutexLock lock(&mu_);
    ++uses_;
    if (names_.empty() || OneIn(random, 50)) return std::string(32, 'f');
    return names_[random() % names_.size()];
  }
  void AwaitUses(uint64_t more) {
    const absl::MutexLock lock(&mu_);
    const uint64_t until = uses_ + more;
    const auto reached = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return ended_ || uses_ >= until;
    };
    mu_.Await(absl::Condition(&reached));
  }
  void End() {
    const absl::MutexLock lock(&mu_);
    ended_ = true;
  }
  bool ended() {
    const absl::MutexLock lock(&mu_);
    return ended_;
  }

 private:
  absl::Mutex mu_;
  std::deque<std::string> names_ ABSL_GUARDED_BY(mu_);
  uint64_t uses_ ABSL_GUARDED_BY(mu_) = 0;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

// Most are right in themselves, so that the kernel reads what changes.
v1::ComputeLossRequest SomeAttack(Random& random, Targets& targets);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_ATTACK_H_
