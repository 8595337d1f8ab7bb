#include "server/admission/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/barrier.h"

namespace lossd::admission {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

constexpr uint64_t kFlow = 0x123456789abcdef0;
constexpr uint64_t kAnotherFlow = 0x0fedcba987654321;

// Asks for `bytes` without a deadline.
absl::StatusOr<Permit> Ask(AdmissionController& controller, int64_t bytes,
                           Refusal* refusal, uint64_t flow = kFlow) {
  return controller.Admit(bytes, flow, absl::InfiniteFuture(), kNow,
                          absl::ZeroDuration(), refusal);
}

TEST(Admission, APermitHoldsItsBytesAndItsPlaceUntilItIsDestroyed) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 10});
  Refusal refusal;
  {
    absl::StatusOr<Permit> permit = Ask(controller, 60, &refusal);
    ASSERT_TRUE(permit.ok());
    EXPECT_TRUE(permit->held());
    EXPECT_EQ(controller.inflight_bytes(), 60);
    EXPECT_EQ(controller.inflight_requests(), 1);
  }
  EXPECT_EQ(controller.inflight_bytes(), 0);
  EXPECT_EQ(controller.inflight_requests(), 0);
}

TEST(Admission, AMovedPermitIsGivenBackOnce) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 10});
  Refusal refusal;
  {
    Permit first = *Ask(controller, 60, &refusal);
    Permit second(std::move(first));
    EXPECT_FALSE(first.held());
    Permit third;
    third = std::move(second);
    EXPECT_TRUE(third.held());
    EXPECT_EQ(controller.inflight_bytes(), 60);
  }
  EXPECT_EQ(controller.inflight_bytes(), 0);
  EXPECT_EQ(controller.inflight_requests(), 0);
}

TEST(Admission, APermitGrowsWithinTheBudgetAndShrinks) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 10});
  Refusal refusal;
  {
    Permit permit = *Ask(controller, 60, &refusal);
    EXPECT_TRUE(permit.Resize(100, &refusal).ok());
    EXPECT_EQ(controller.inflight_bytes(), 100);
    const absl::Status refused = permit.Resize(101, &refusal);
    EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(refusal, Refusal::kBytes);
    EXPECT_EQ(permit.bytes(), 100);
    EXPECT_EQ(controller.inflight_bytes(), 100);
    EXPECT_TRUE(permit.Resize(10, &refusal).ok());
    EXPECT_EQ(controller.inflight_bytes(), 10);
    EXPECT_EQ(controller.inflight_requests(), 1);
  }
  EXPECT_EQ(controller.inflight_bytes(), 0);
  EXPECT_EQ(controller.inflight_requests(), 0);
}

TEST(Admission, FullBytesAreRefusedWithAllNumbersAndLeaveNothingBehind) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 10});
  Refusal refusal;
  Permit held = *Ask(controller, 60, &refusal);
  absl::StatusOr<Permit> refused = Ask(controller, 41, &refusal);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.status().message(),
              AllOf(HasSubstr("max_inflight_bytes"), HasSubstr("60"),
                    HasSubstr("100"), HasSubstr("41")));
  EXPECT_EQ(refusal, Refusal::kBytes);
  EXPECT_EQ(controller.inflight_bytes(), 60);
  EXPECT_EQ(controller.inflight_requests(), 1);
  EXPECT_TRUE(Ask(controller, 40, &refusal, kAnotherFlow).ok());
}

TEST(Admission, FullPlacesAreRefusedWithBothNumbersAndLeaveNothingBehind) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 2});
  Refusal refusal;
  Permit a = *Ask(controller, 1, &refusal);
  Permit b = *Ask(controller, 1, &refusal);
  absl::StatusOr<Permit> refused = Ask(controller, 1, &refusal);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(refused.status().message(),
              AllOf(HasSubstr("max_inflight_requests"), HasSubstr("2 of 2")));
  EXPECT_EQ(refusal, Refusal::kRequests);
  EXPECT_EQ(controller.inflight_bytes(), 2);
  EXPECT_EQ(controller.inflight_requests(), 2);
}

TEST(Admission, ARequestLargerThanTheBudgetCanNeverBeRetried) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 2});
  Refusal refusal;
  for (int64_t bytes : {int64_t{101}, std::numeric_limits<int64_t>::max()}) {
    absl::StatusOr<Permit> refused = Ask(controller, bytes, &refusal);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(refused.status().message(),
                AllOf(HasSubstr("never"), HasSubstr("100")));
    EXPECT_EQ(refusal, Refusal::kBytes);
    EXPECT_TRUE(controller.NeverFits(bytes));
  }
  EXPECT_FALSE(controller.NeverFits(100));
  EXPECT_TRUE(Ask(controller, 100, &refusal).ok());
}

TEST(Admission, ADeadlineThatPassedIsRefused) {
  AdmissionController controller({});
  Refusal refusal;
  for (absl::Duration late : {absl::ZeroDuration(), absl::Milliseconds(5)}) {
    absl::StatusOr<Permit> refused = controller.Admit(
        1, kFlow, kNow - late, kNow, absl::ZeroDuration(), &refusal);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_EQ(refusal, Refusal::kDeadline);
  }
  EXPECT_EQ(controller.inflight_requests(), 0);
}

TEST(Admission,
     ADeadlineThatWouldPassInTheQueueIsRefusedAndSaysHowLongTheQueueIs) {
  AdmissionController controller({});
  Refusal refusal;
  const absl::Time deadline = kNow + absl::Milliseconds(10);
  absl::StatusOr<Permit> refused = controller.Admit(
      1, kFlow, deadline, kNow, absl::Milliseconds(10), &refusal);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(refused.status().message(), HasSubstr("10ms"));
  EXPECT_EQ(refusal, Refusal::kDeadline);
  EXPECT_TRUE(
      controller
          .Admit(1, kFlow, deadline, kNow, absl::Milliseconds(9), &refusal)
          .ok());
}

TEST(Admission,
     AfterStopAdmittingEverythingIsUnavailableAndPermitsStillComeBack) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 1});
  Refusal refusal;
  {
    Permit held = *Ask(controller, 100, &refusal);
    controller.StopAdmitting();
    // This holds also for a request that would be refused for another reason:
    // the client should go elsewhere.
    for (absl::Time deadline : {absl::InfiniteFuture(), kNow}) {
      absl::StatusOr<Permit> refused = controller.Admit(
          1, kFlow, deadline, kNow, absl::ZeroDuration(), &refusal);
      EXPECT_EQ(refused.status().code(), absl::StatusCode::kUnavailable);
      EXPECT_EQ(refusal, Refusal::kDraining);
    }
    EXPECT_EQ(controller.inflight_requests(), 1);
  }
  EXPECT_EQ(controller.inflight_requests(), 0);
  EXPECT_EQ(controller.inflight_bytes(), 0);
}

TEST(Admission, AWaitForANumberOfRequestsEndsWhenItIsReached) {
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 10});
  Refusal refusal;
  absl::Barrier two_seen(2);
  std::thread waiter([&] {
    EXPECT_TRUE(controller.WaitForRequests(2, absl::InfiniteDuration()));
    two_seen.Block();
    EXPECT_TRUE(controller.WaitForRequests(0, absl::InfiniteDuration()));
  });
  {
    const Permit first = *Ask(controller, 6, &refusal);
    const Permit second = *Ask(controller, 3, &refusal);
    two_seen.Block();
  }
  waiter.join();
}

TEST(Admission, AWaitEndsAtItsDeadlineWithWhatIsTrueThen) {
  AdmissionController controller({});
  EXPECT_FALSE(controller.WaitForRequests(1, absl::ZeroDuration()));
  EXPECT_TRUE(controller.WaitForRequests(0, absl::ZeroDuration()));
}

TEST(Admission, ManyThreadsNeverExceedTheBudgetAndAllPermitsComeBack) {
  constexpr int kThreads = 4;
  AdmissionController controller(
      {.max_inflight_bytes = 100, .max_inflight_requests = 3});
  absl::Barrier start(kThreads);
  std::atomic<int> admitted{0};
  auto storm = [&](int64_t bytes) {
    start.Block();
    for (int i = 0; i < 5000; ++i) {
      Refusal refusal;
      absl::StatusOr<Permit> permit = Ask(controller, bytes, &refusal);
      admitted += permit.ok();
      ASSERT_LE(controller.inflight_bytes(), 100);
      ASSERT_LE(controller.inflight_requests(), 3);
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) threads.emplace_back(storm, 10 + 20 * t);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(admitted, 0);
  EXPECT_EQ(controller.inflight_bytes(), 0);
  EXPECT_EQ(controller.inflight_requests(), 0);
}

}  // namespace
}  // namespace lossd::admission
