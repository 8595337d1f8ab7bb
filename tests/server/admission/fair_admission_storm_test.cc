// Compares the shares that flows get in long random sequences with a model.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "server/admission/admission.h"
#include "tests/server/admission/ask.h"

namespace lossd::admission {
namespace {

// The rule in its plainest form: every count is made anew from all permits.
class Model {
 public:
  struct Taken {
    Permit permit;
    uint64_t flow;
    bool answered = false;
  };
  static constexpr int64_t kBytes = 10000;
  static constexpr int64_t kRequests = 60;

  bool Allows(uint64_t flow, int64_t bytes) {
    const Holding own = Of(flow);
    const Holding all = Sum();
    const int64_t returning = own.answered > 0 ? 1 : 0;
    const int64_t open = own.requests - returning;
    return all.requests < kRequests &&
           Within(1, open, all.requests - returning, kRequests, open > 0) &&
           Within(bytes, own.bytes, all.bytes, kBytes, open > 0);
  }
  bool AllowsResize(const Taken& one, int64_t bytes) {
    const int64_t more = bytes - one.permit.bytes();
    const Holding own = Of(one.flow);
    const int64_t open = own.requests - (own.answered > 0 ? 1 : 0);
    return more <= 0 || Within(more, own.bytes, Sum().bytes, kBytes, open > 1);
  }
  Holding Of(uint64_t flow) const {
    return Count([flow](const Taken& one) { return one.flow == flow; });
  }
  Holding Sum() const {
    return Count([](const Taken&) { return true; });
  }

  std::vector<Taken> taken;

 private:
  static bool Within(int64_t more, int64_t own, int64_t all, int64_t limit,
                     bool shares) {
    const int64_t left = limit - all - more;
    const auto free = 8 * static_cast<long double>(left + 1);
    return left >= 0 &&
           (!shares || (own + more) * limit * limit <= free * free * free);
  }
  template <typename Counts>
  Holding Count(Counts counts) const {
    Holding sum;
    for (const Taken& one : taken) {
      if (!counts(one)) continue;
      sum.bytes += one.permit.bytes();
      ++sum.requests;
      sum.answered += one.answered ? 1 : 0;
    }
    return sum;
  }
};

TEST(FairAdmission, FollowsTheRuleInAnyOrderAndEverythingComesBack) {
  std::mt19937_64 random(31);
  std::vector<uint64_t> flows(6);
  for (uint64_t& flow : flows) flow = random();
  int refused = 0;
  for (int sequence = 0; sequence < 40; ++sequence) {
    AdmissionController controller({.max_inflight_bytes = Model::kBytes,
                                    .max_inflight_requests = Model::kRequests});
    Model model;
    const auto expect_same = [&] {
      ASSERT_EQ(controller.inflight_bytes(), model.Sum().bytes);
      ASSERT_EQ(controller.inflight_requests(), model.Sum().requests);
      for (const uint64_t flow : flows) {
        ASSERT_EQ(controller.held_by(flow).bytes, model.Of(flow).bytes);
        ASSERT_EQ(controller.held_by(flow).requests, model.Of(flow).requests);
        ASSERT_EQ(controller.held_by(flow).answered, model.Of(flow).answered);
      }
    };
    // Half of the sequences have many small requests, the others few large
    // ones.
    const uint64_t largest = sequence % 2 == 0 ? 300 : 4000;
    const auto any_bytes = [&] {
      return static_cast<int64_t>(random() % largest);
    };
    for (int step = 0; step < 400; ++step) {
      const uint64_t what = random() % 10;
      if (what < 6 || model.taken.empty()) {
        // The first flow asks as often as all others.
        const uint64_t flow = flows[random() % 2 * (random() % flows.size())];
        const int64_t bytes = any_bytes();
        const bool allowed = model.Allows(flow, bytes);
        Refusal refusal;
        absl::StatusOr<Permit> permit = Ask(controller, flow, bytes, &refusal);
        ASSERT_EQ(permit.ok(), allowed);
        refused += !allowed;
        if (allowed) model.taken.push_back({*std::move(permit), flow});
      } else {
        Model::Taken& one = model.taken[random() % model.taken.size()];
        if (what == 6) {
          one.permit.MarkAnswered();
          one.answered = true;
        } else if (what < 9 && !one.answered) {
          const int64_t bytes = any_bytes();
          const bool allowed = model.AllowsResize(one, bytes);
          Refusal refusal;
          ASSERT_EQ(one.permit.Resize(bytes, &refusal).ok(), allowed);
          refused += !allowed;
        } else {
          std::swap(one, model.taken.back());
          model.taken.pop_back();
        }
      }
      expect_same();
    }
    model.taken.clear();
    expect_same();
    ASSERT_EQ(controller.inflight_requests(), 0);
  }
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace lossd::admission
