// The shares of the budgets that one flow may take beside others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <utility>
#include <vector>

#include "server/admission/admission.h"
#include "tests/server/admission/ask.h"

namespace lossd::admission {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kPlenty = int64_t{1} << 40;

// A connection that asks for requests of one size.
class Client {
 public:
  Client(AdmissionController& controller, uint64_t flow, int64_t bytes)
      : controller_(controller), flow_(flow), bytes_(bytes) {}

  bool Ask() {
    absl::StatusOr<Permit> permit =
        admission::Ask(controller_, flow_, bytes_, &refusal_);
    if (permit.ok()) permits_.push_back(*std::move(permit));
    return permit.ok();
  }
  // Takes all that it can get, as a greedy client does.
  void AskUntilRefused() {
    while (Ask()) {
    }
  }
  void GiveBackOne() { permits_.pop_back(); }

  int64_t requests() const { return static_cast<int64_t>(permits_.size()); }
  int64_t bytes() const { return requests() * bytes_; }
  Refusal refusal() const { return refusal_; }

 private:
  AdmissionController& controller_;
  const uint64_t flow_;
  const int64_t bytes_;
  std::vector<Permit> permits_;
  Refusal refusal_{};
};

TEST(FairAdmission, AFlowThatIsAloneHasSevenEighthsOfEitherBudget) {
  AdmissionController bytes(
      {.max_inflight_bytes = 80000, .max_inflight_requests = kPlenty});
  Client alone(bytes, 1, 10);
  alone.AskUntilRefused();
  EXPECT_GE(alone.bytes(), 70000);
  EXPECT_LE(alone.bytes(), 71000);
  EXPECT_EQ(alone.refusal(), Refusal::kShare);
  AdmissionController requests(
      {.max_inflight_bytes = kPlenty, .max_inflight_requests = 4096});
  Client many(requests, 1, 1);
  many.AskUntilRefused();
  EXPECT_GE(many.requests(), 3584);
  EXPECT_LE(many.requests(), 3640);
  EXPECT_EQ(many.refusal(), Refusal::kShare);
}

TEST(FairAdmission, BudgetsOfAFewRequestsCanBeHadWhole) {
  for (int64_t limit = 1; limit <= 8; ++limit) {
    AdmissionController controller(
        {.max_inflight_bytes = kPlenty, .max_inflight_requests = limit});
    Client alone(controller, 1, 1);
    alone.AskUntilRefused();
    EXPECT_EQ(alone.requests(), limit);
    EXPECT_EQ(alone.refusal(), Refusal::kRequests);
  }
}

TEST(FairAdmission, AFlowsOnlyRequestIsAdmittedWheneverItFits) {
  AdmissionController controller(
      {.max_inflight_bytes = 1000, .max_inflight_requests = 100});
  Client whole(controller, 1, 1000);
  EXPECT_TRUE(whole.Ask());
  whole.GiveBackOne();
  Client greedy(controller, 2, 1);
  for (int i = 0; i < 80; ++i) ASSERT_TRUE(greedy.Ask());
  Client rest(controller, 3, 920);
  EXPECT_TRUE(rest.Ask());
  EXPECT_EQ(controller.inflight_bytes(), 1000);
}

// This holds whatever the size of the greedy flows' requests.
TEST(FairAdmission, APoliteFlowGetsInBesideGreedyOnesThatAskInTurns) {
  constexpr int64_t kBudget = 1'000'000;
  for (const int64_t size : {100, 900, 7000}) {
    for (uint64_t greedy = 1; greedy <= 12; ++greedy) {
      SCOPED_TRACE(testing::Message() << greedy << " times " << size);
      AdmissionController controller(
          {.max_inflight_bytes = kBudget, .max_inflight_requests = kPlenty});
      std::vector<Client> clients;
      for (uint64_t i = 0; i < greedy; ++i) {
        clients.emplace_back(controller, i, size);
      }
      for (bool any = true; any;) {
        any = false;
        for (Client& client : clients) any |= client.Ask();
      }
      EXPECT_GE(kBudget - controller.inflight_bytes(), kBudget / 20 - size);
      for (const Client& client : clients) {
        EXPECT_NEAR(client.requests(), clients[0].requests(), 1);
      }
      Client polite(controller, 99, kBudget / 200);
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(polite.Ask());
    }
  }
}

// The earlier flows have given nothing back yet.
TEST(FairAdmission, APoliteFlowGetsInBesideGreedyOnesThatCameOneAfterAnother) {
  constexpr int64_t kBudget = 1'000'000;
  AdmissionController controller(
      {.max_inflight_bytes = kBudget, .max_inflight_requests = kPlenty});
  std::vector<Client> clients;
  for (uint64_t greedy = 1; greedy <= 10; ++greedy) {
    clients.emplace_back(controller, greedy, 100);
    clients.back().AskUntilRefused();
    EXPECT_EQ(clients.back().refusal(), Refusal::kShare);
    Client polite(controller, 99, kBudget / 100);
    EXPECT_TRUE(polite.Ask()) << greedy;
  }
}

TEST(FairAdmission, APoliteFlowGetsPlacesBesideGreedyOnes) {
  AdmissionController controller(
      {.max_inflight_bytes = kPlenty, .max_inflight_requests = 4096});
  std::vector<Client> clients;
  for (uint64_t greedy = 1; greedy <= 4; ++greedy) {
    clients.emplace_back(controller, greedy, 10);
    clients.back().AskUntilRefused();
    Client polite(controller, 99, 10);
    for (int i = 0; i < 8; ++i) EXPECT_TRUE(polite.Ask()) << greedy;
  }
}

TEST(FairAdmission, OneWhoCameLaterEndsWithAsMuchAsOneWhoHadItAll) {
  AdmissionController controller(
      {.max_inflight_bytes = 1700, .max_inflight_requests = kPlenty});
  Client first(controller, 1, 1);
  Client second(controller, 2, 1);
  first.AskUntilRefused();
  EXPECT_GT(first.bytes(), 1480);
  // Requests of both end, in proportion to what each holds, and both ask for
  // more.
  for (int round = 0; round < 1000; ++round) {
    for (Client* client : {&first, &second}) {
      for (int64_t ends = client->requests() / 100; ends >= 0; --ends) {
        if (client->requests() > 0) client->GiveBackOne();
      }
    }
    // The one that asks first finds more that is free.
    Client& early = round % 2 == 0 ? first : second;
    Client& late = round % 2 == 0 ? second : first;
    early.AskUntilRefused();
    late.AskUntilRefused();
  }
  EXPECT_NEAR(first.bytes(), 775, 30);
  EXPECT_NEAR(second.bytes(), 775, 30);
}

TEST(FairAdmission, ARefusalOfAShareSaysAllNumbers) {
  AdmissionController controller(
      {.max_inflight_bytes = 1000, .max_inflight_requests = 100});
  Refusal refusal;
  Permit held = *Ask(controller, 1, 600, &refusal);
  const absl::StatusOr<Permit> refused = Ask(controller, 1, 399, &refusal);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.status().message(),
              AllOf(HasSubstr("share of max_inflight_bytes"), HasSubstr("600"),
                    HasSubstr("399"), HasSubstr("400 of 1000")));
  EXPECT_EQ(refusal, Refusal::kShare);
  EXPECT_EQ(controller.inflight_requests(), 1);
  EXPECT_EQ(controller.held_by(1).requests, 1);
  EXPECT_EQ(controller.held_by(1).bytes, 600);
}

TEST(FairAdmission, APermitGrowsIntoItsFlowsShareUnlessItIsTheFlowsOnlyOne) {
  AdmissionController controller(
      {.max_inflight_bytes = 1000, .max_inflight_requests = 100});
  Refusal refusal;
  Permit first = *Ask(controller, 1, 100, &refusal);
  EXPECT_TRUE(first.Resize(1000, &refusal).ok());
  EXPECT_TRUE(first.Resize(100, &refusal).ok());
  EXPECT_EQ(controller.held_by(1).bytes, 100);
  Permit second = *Ask(controller, 1, 100, &refusal);
  EXPECT_EQ(first.Resize(900, &refusal).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(refusal, Refusal::kShare);
  EXPECT_EQ(first.bytes(), 100);
  EXPECT_EQ(controller.held_by(1).bytes, 200);
  EXPECT_TRUE(first.Resize(775, &refusal).ok());
  EXPECT_EQ(controller.held_by(1).bytes, 875);
  EXPECT_EQ(controller.inflight_bytes(), 875);
}

TEST(FairAdmission, APermitShrinksWhateverItsFlowsShare) {
  AdmissionController controller(
      {.max_inflight_bytes = 1000, .max_inflight_requests = 100});
  Refusal refusal;
  Permit first = *Ask(controller, 1, 500, &refusal);
  Permit second = *Ask(controller, 1, 300, &refusal);
  first.ShrinkTo(500);
  EXPECT_EQ(controller.inflight_bytes(), 800);
  first.ShrinkTo(40);
  EXPECT_EQ(first.bytes(), 40);
  EXPECT_EQ(controller.held_by(1).bytes, 340);
  first.ShrinkTo(0);
  EXPECT_EQ(controller.inflight_bytes(), 300);
  EXPECT_EQ(controller.inflight_requests(), 2);
}

TEST(FairAdmission, LimitsOfAnySizeDoNotOverflow) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  AdmissionController controller(
      {.max_inflight_bytes = kMost, .max_inflight_requests = kMost});
  Refusal refusal;
  Permit half = *Ask(controller, 1, kMost / 2, &refusal);
  EXPECT_FALSE(Ask(controller, 1, kMost / 2, &refusal).ok());
  EXPECT_EQ(refusal, Refusal::kShare);
  EXPECT_TRUE(Ask(controller, 1, kMost / 4, &refusal).ok());
  EXPECT_TRUE(Ask(controller, 2, kMost / 2, &refusal).ok());
  EXPECT_FALSE(Ask(controller, 2, kMost, &refusal).ok());
  EXPECT_EQ(refusal, Refusal::kBytes);
}

// The share of a full budget is less than a place, so a flow's only request is
// not held to it.
TEST(FairAdmission, ANewcomerGetsAnyFreePlace) {
  AdmissionController controller(
      {.max_inflight_bytes = kPlenty, .max_inflight_requests = 64});
  std::vector<Permit> places;
  Refusal refusal;
  for (uint64_t flow = 1; flow <= 64; ++flow) {
    absl::StatusOr<Permit> place = Ask(controller, flow, 1, &refusal);
    ASSERT_TRUE(place.ok()) << flow << ": " << place.status();
    places.push_back(*std::move(place));
  }
  EXPECT_FALSE(Ask(controller, 65, 1, &refusal).ok());
  EXPECT_EQ(refusal, Refusal::kRequests);
}

TEST(FairAdmission, CheckForeseesWhatAdmitWouldSay) {
  AdmissionController controller(
      {.max_inflight_bytes = 1000, .max_inflight_requests = 100});
  const auto check = [&](int64_t bytes, uint64_t flow) {
    Refusal refusal;
    return controller
        .Check(bytes, flow, absl::InfiniteFuture(), absl::UnixEpoch(),
               absl::ZeroDuration(), &refusal)
        .code();
  };
  Refusal refusal;
  const Permit half = *Ask(controller, 1, 500, &refusal);
  EXPECT_EQ(check(500, 2), absl::StatusCode::kOk);
  EXPECT_EQ(check(501, 2), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(check(500, 1), absl::StatusCode::kResourceExhausted);  // its share
  EXPECT_EQ(controller.inflight_requests(), 1);
  controller.StopAdmitting();
  EXPECT_EQ(check(1, 2), absl::StatusCode::kUnavailable);
}

// The answer reaches a client before the permit is given back.
TEST(FairAdmission, AFlowMayAskAgainAsSoonAsItsOnlyRequestIsAnswered) {
  AdmissionController controller(
      {.max_inflight_bytes = kPlenty, .max_inflight_requests = 64});
  Client greedy[2] = {{controller, 1, 1}, {controller, 2, 1}};
  for (Client& one : greedy) one.AskUntilRefused();
  Refusal refusal;
  Permit first = *Ask(controller, 3, 1, &refusal);
  ASSERT_FALSE(Ask(controller, 3, 1, &refusal).ok());  // its share is one
  ASSERT_EQ(refusal, Refusal::kShare);
  const int64_t inside = controller.inflight_requests();
  first.MarkAnswered();
  EXPECT_EQ(controller.inflight_requests(), inside);  // nothing is given back
  for (int i = 0; i < 100; ++i) {
    absl::StatusOr<Permit> next = Ask(controller, 3, 1, &refusal);
    ASSERT_TRUE(next.ok()) << next.status();
    first = *std::move(next);
    first.MarkAnswered();
  }
  EXPECT_EQ(controller.inflight_requests(), inside);
}

TEST(FairAdmission, AnsweredBytesDoNotStandInTheWayOfAFlowsOnlyRequest) {
  AdmissionController controller(
      {.max_inflight_bytes = 1000, .max_inflight_requests = 100});
  Refusal refusal;
  Permit first = *Ask(controller, 1, 500, &refusal);
  ASSERT_FALSE(Ask(controller, 1, 500, &refusal).ok());
  ASSERT_EQ(refusal, Refusal::kShare);
  first.MarkAnswered();
  const Permit second = *Ask(controller, 1, 500, &refusal);
  EXPECT_EQ(controller.inflight_bytes(), 1000);
  // The budget is not exceeded for it.
  EXPECT_FALSE(Ask(controller, 2, 1, &refusal).ok());
  EXPECT_EQ(refusal, Refusal::kBytes);
}

// A client that does not read its answers has one of them for free.
TEST(FairAdmission, AllAnsweredRequestsButOneCountInTheShare) {
  AdmissionController controller(
      {.max_inflight_bytes = kPlenty, .max_inflight_requests = 400});
  Client usual(controller, 1, 1);
  usual.AskUntilRefused();
  std::vector<Permit> unread;
  Refusal refusal;
  const int64_t share = usual.requests();
  while (usual.requests() > 0) usual.GiveBackOne();
  for (;;) {
    absl::StatusOr<Permit> permit = Ask(controller, 2, 1, &refusal);
    if (!permit.ok()) break;
    unread.push_back(*std::move(permit));
    unread.back().MarkAnswered();
  }
  EXPECT_EQ(refusal, Refusal::kShare);
  EXPECT_EQ(static_cast<int64_t>(unread.size()), share + 1);
}

}  // namespace
}  // namespace lossd::admission
