// Makes malicious requests: their references are wrong in every way, and the
// regions that they name come and go.
#ifndef LOSSD_TESTS_INTEGRATION_ATTACK_H_
#define LOSSD_TESTS_INTEGRATION_ATTACK_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/synchronization/mutex.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd {

using Random = std::mt19937_64;

inline constexpr uint64_t kBytes = 1 << 18;  // the size of every region

// Returns true once in `times` calls, on average.
inline bool OneIn(Random& random, uint64_t times) {
  return random() % times == 0;
}

// Holds the names of the attackers' four newest regions, some of them gone, and
// counts their uses: a region is released after some more requests have named
// one. Thread-safe.
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

// Makes a request that is valid more often than not, so that kernels read
// regions while their bytes change.
v1::ComputeLossRequest SomeAttack(Random& random, Targets& targets);

// Every code that the server may answer an attack with.
inline constexpr grpc::StatusCode kAttackAnswers[] = {
    grpc::StatusCode::OK, grpc::StatusCode::INVALID_ARGUMENT,
    grpc::StatusCode::NOT_FOUND, grpc::StatusCode::FAILED_PRECONDITION};

// Calls `attack` at least `least` times, and then until each of kAttackAnswers
// has come: the scheduler decides how soon an attack names a region that is
// there. Gives up after 500 times as many calls. Returns how many attacks got
// each code.
std::map<grpc::StatusCode, int> AttackUntilAllAnswersCame(
    int least, absl::FunctionRef<grpc::StatusCode()> attack);

}  // namespace lossd

#endif  // LOSSD_TESTS_INTEGRATION_ATTACK_H_
