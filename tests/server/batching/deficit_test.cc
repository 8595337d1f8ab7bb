#include "server/batching/deficit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "kernels/sigmoid_loss.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
constexpr int64_t kQuantum = 10 * kBlock;

TEST(Deficit, ATaskCostsWholeBlocksAndAtLeastOne) {
  EXPECT_EQ(ChargeOf(0), kBlock);
  EXPECT_EQ(ChargeOf(1), kBlock);
  EXPECT_EQ(ChargeOf(kBlock), kBlock);
  EXPECT_EQ(ChargeOf(kBlock + 1), 2 * kBlock);
  EXPECT_EQ(ChargeOf(uint64_t{1} << 40), int64_t{1} << 40);
}

TEST(Deficit, SavingsThatSufficeAreATurnNow) {
  EXPECT_EQ(RoundOfTurn({.elements = 5, .round = 7}, 5, kQuantum), 7u);
  EXPECT_EQ(RoundOfTurn({.elements = 5, .round = 7}, 6, kQuantum), 8u);
}

TEST(Deficit, TheRoundIsThatOfCreditingQuantaOneByOne) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 10'000; ++i) {
    const int64_t quantum = 1 + static_cast<int64_t>(random() % 50);
    const int64_t charge = 1 + static_cast<int64_t>(random() % 5000);
    const Savings savings = {.elements = static_cast<int64_t>(random() % 100),
                             .round = random() % 1000};
    int64_t saved = savings.elements;
    uint64_t round = savings.round;
    for (; saved < charge; ++round) saved += quantum;
    ASSERT_EQ(RoundOfTurn(savings, charge, quantum), round);
    const int64_t next = 1 + static_cast<int64_t>(random() % 5000);
    const Savings after = AfterPaying(savings, round, charge, next, quantum);
    ASSERT_EQ(after.round, round);
    ASSERT_EQ(after.elements,
              std::min(saved - charge, std::max(quantum, next)));
  }
}

TEST(Deficit, WhatWasSavedForACancelledTaskIsKeptOnlyForAnotherLikeIt) {
  const Savings rich = {.elements = 0, .round = 0};
  EXPECT_EQ(AfterPaying(rich, 30, kBlock, kBlock, kQuantum).elements, kQuantum);
  EXPECT_EQ(AfterPaying(rich, 30, kBlock, 200 * kBlock, kQuantum).elements,
            200 * kBlock);
}

TEST(Deficit, HugeTasksDoNotOverflow) {
  const int64_t huge = int64_t{1} << 60;
  const uint64_t round = RoundOfTurn({}, huge, 1);
  EXPECT_EQ(round, uint64_t{1} << 60);
  EXPECT_EQ(AfterPaying({}, round, huge, 1, 1).elements, 0);
}

}  // namespace
}  // namespace lossd::batching
