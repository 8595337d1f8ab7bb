#include "server/admission/holdings.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace lossd::admission {
namespace {

TEST(Holdings, OfAFlowAreItsRequestsAndTheirBytes) {
  Holdings holdings;
  holdings.AddRequest(7, 100);
  holdings.AddRequest(7, 20);
  holdings.AddBytes(7, 3);
  holdings.AddRequest(8, 1000);
  EXPECT_EQ(holdings.Of(7).bytes, 123);
  EXPECT_EQ(holdings.Of(7).requests, 2);
  holdings.RemoveRequest(7, 103, /*answered=*/false);
  EXPECT_EQ(holdings.Of(7).bytes, 20);
  EXPECT_EQ(holdings.Of(7).requests, 1);
  EXPECT_EQ(holdings.Of(9).bytes, 0);
  EXPECT_EQ(holdings.Of(9).requests, 0);
}

// One cell in common, by the low or by the high bits, is not mistaken for the
// same flow; both are.
TEST(Holdings, OfAFlowThatSharesOneCellWithAnotherAreNotTheOthers) {
  constexpr uint64_t kFlow = (uint64_t{17} << 32) | 5;
  constexpr uint64_t kSameLow = (uint64_t{18} << 32) | 5;
  constexpr uint64_t kSameHigh = (uint64_t{17} << 32) | 6;
  Holdings holdings;
  holdings.AddRequest(kSameLow, 1000);
  EXPECT_EQ(holdings.Of(kFlow).requests, 0);
  EXPECT_EQ(holdings.Of(kFlow).bytes, 0);
  holdings.AddRequest(kSameHigh, 30);
  EXPECT_EQ(holdings.Of(kFlow).requests, 1);  // not less than the truth
  EXPECT_EQ(holdings.Of(kFlow).bytes, 30);
  EXPECT_EQ(holdings.Of(kSameLow).bytes, 1000);
  EXPECT_EQ(holdings.Of(kSameHigh).bytes, 30);
  holdings.RemoveRequest(kSameLow, 1000, /*answered=*/false);
  holdings.RemoveRequest(kSameHigh, 30, /*answered=*/false);
  EXPECT_EQ(holdings.Of(kFlow).requests, 0);
}

TEST(Holdings, AreExactAfterManyThreads) {
  Holdings holdings;
  holdings.AddRequest(1, 50);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&holdings, t] {
      const auto flow = static_cast<uint64_t>(t % 2);
      for (int i = 0; i < 20000; ++i) {
        holdings.AddRequest(flow, i);
        ASSERT_GE(holdings.Of(flow).requests, 1);
        holdings.AddBytes(flow, 5);
        const bool answered = i % 3 == 0;
        if (answered) holdings.MarkAnswered(flow);
        const Holding seen = holdings.Of(flow);
        ASSERT_LE(seen.answered, seen.requests);
        holdings.RemoveRequest(flow, i + 5, answered);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(holdings.Of(0).bytes, 0);
  EXPECT_EQ(holdings.Of(0).requests, 0);
  EXPECT_EQ(holdings.Of(1).bytes, 50);
  EXPECT_EQ(holdings.Of(1).requests, 1);
  EXPECT_EQ(holdings.Of(0).answered, 0);
  EXPECT_EQ(holdings.Of(1).answered, 0);
}

TEST(Holdings, OfAFlowCountWhichOfItsRequestsAreAnswered) {
  Holdings holdings;
  for (int i = 0; i < 3; ++i) holdings.AddRequest(7, 10);
  holdings.MarkAnswered(7);
  holdings.MarkAnswered(7);
  EXPECT_EQ(holdings.Of(7).requests, 3);
  EXPECT_EQ(holdings.Of(7).answered, 2);
  EXPECT_EQ(holdings.Of(7).bytes, 30);
  holdings.RemoveRequest(7, 10, /*answered=*/true);
  EXPECT_EQ(holdings.Of(7).requests, 2);
  EXPECT_EQ(holdings.Of(7).answered, 1);
  EXPECT_EQ(holdings.Of(8).answered, 0);
  holdings.RemoveRequest(7, 10, /*answered=*/false);
  EXPECT_EQ(holdings.Of(7).requests, 1);
  EXPECT_EQ(holdings.Of(7).answered, 1);
}

}  // namespace
}  // namespace lossd::admission
