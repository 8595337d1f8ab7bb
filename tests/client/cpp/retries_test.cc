#include "client/cpp/retries.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "client/cpp/call_status.h"

namespace lossd::client {
namespace {

constexpr absl::Time kNever = absl::InfiniteFuture();

absl::Status Full() {
  absl::Status status = absl::ResourceExhaustedError("full");
  SetRetryAfter(absl::Milliseconds(250), &status);
  return status;
}

TEST(RetriesTest, ADelayGrowsAndVaries) {
  Retries retries;
  const absl::Status gone = absl::UnavailableError("gone");
  for (const auto& [attempts, milliseconds] :
       {std::pair(1, 100), {2, 200}, {3, 400}, {4, 800}}) {
    const auto one = retries.Delay(gone, attempts, kNever);
    const auto other = retries.Delay(gone, attempts, kNever);
    ASSERT_TRUE(one.has_value() && other.has_value());
    EXPECT_NE(*one, *other);
    EXPECT_GE(*one, 0.8 * absl::Milliseconds(milliseconds));
    EXPECT_LE(*one, 1.2 * absl::Milliseconds(milliseconds));
  }
  EXPECT_EQ(retries.Delay(gone, Retries::kMostAttempts, kNever), std::nullopt);
}

TEST(RetriesTest, ARefusalIsSentAgainWhenTheServerSays) {
  Retries retries;
  EXPECT_EQ(retries.Delay(Full(), 1, kNever), absl::Milliseconds(250));
  EXPECT_EQ(retries.Delay(absl::ResourceExhaustedError("too large"), 1, kNever),
            std::nullopt);
}

TEST(RetriesTest, WhatWouldComeTooLateOrHasAnotherCodeIsReported) {
  Retries retries;
  EXPECT_EQ(retries.Delay(Full(), 1, absl::Now()), std::nullopt);
  for (const auto code :
       {absl::StatusCode::kCancelled, absl::StatusCode::kDeadlineExceeded,
        absl::StatusCode::kInternal, absl::StatusCode::kInvalidArgument}) {
    absl::Status error(code, "");
    SetRetryAfter(absl::Milliseconds(1), &error);
    EXPECT_EQ(retries.Delay(error, 1, kNever), std::nullopt);
  }
}

TEST(RetriesTest, TheBudgetIsABurstAndAFifthOfTheAnswers) {
  Retries retries;
  int burst = 0;
  while (retries.Delay(Full(), 1, kNever).has_value()) ++burst;
  EXPECT_EQ(burst, 4096);
  retries.Answered(4);
  EXPECT_EQ(retries.Delay(Full(), 1, kNever), std::nullopt);
  retries.Answered(2);
  EXPECT_TRUE(retries.Delay(Full(), 1, kNever).has_value());
  EXPECT_EQ(retries.Delay(Full(), 1, kNever), std::nullopt);
}

TEST(RetriesTest, WhatWasNotSentTakesNothingOfTheBudget) {
  Retries retries;
  while (retries.Delay(Full(), 1, kNever).has_value()) {
  }
  EXPECT_TRUE(Retries::DelayUnsent(Full(), 1, kNever).has_value());
  EXPECT_EQ(Retries::DelayUnsent(Full(), Retries::kMostAttempts, kNever),
            std::nullopt);
  EXPECT_EQ(Retries::DelayUnsent(Full(), 1, absl::Now()), std::nullopt);
}

TEST(RetriesTest, GrpcRetriesUnaryCallsAlone) {
  const auto config = nlohmann::json::parse(kSeveralServers);
  const auto& methods = config.at("methodConfig").at(0);
  EXPECT_EQ(methods.at("name").size(), 2);
  EXPECT_EQ(methods.at("retryPolicy").at("maxAttempts"),
            Retries::kMostAttempts);
}

}  // namespace
}  // namespace lossd::client
