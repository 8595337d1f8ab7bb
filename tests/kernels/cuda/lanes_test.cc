// Adds up lanes with one host thread for each thread of a group. The exchange,
// one instruction of a warp, is a barrier here.
#include <gtest/gtest.h>

#include <algorithm>
#include <barrier>
#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cuda {
namespace {

// clang-format off
#define LOSSD_ELEMENT_FN inline
#define LOSSD_UNROLL
#include "kernels/cuda/lanes-inl.h"
// clang-format on

// Returns the sum that each thread of a group gets for the lanes of a block.
template <int kLanes>
std::vector<double> SumsOfThreads(const double (&lanes)[kBlockLanes]) {
  constexpr size_t kThreads = kBlockLanes / kLanes;
  std::vector<double> sums(kThreads);
  std::vector<double> values(kThreads);
  std::barrier all(kThreads);
  std::vector<std::thread> threads;
  for (size_t rank = 0; rank < kThreads; ++rank) {
    threads.emplace_back([&, rank] {
      double mine[kLanes];
      std::copy_n(lanes + kLanes * rank, kLanes, mine);
      const auto exchange = [&](double value, int distance) {
        values[rank] = value;
        all.arrive_and_wait();
        const double other = values[rank ^ static_cast<size_t>(distance)];
        all.arrive_and_wait();
        return other;
      };
      sums[rank] = SumOverGroup(static_cast<int>(rank), mine, exchange);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return sums;
}

// The numbers have many magnitudes, so another order would give other bits.
TEST(GroupSum, AddsInTheOrderOfSumLanes) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 20; ++trial) {
    double lanes[kBlockLanes];
    for (double& lane : lanes) {
      lane = std::ldexp(std::uniform_real_distribution<double>(1, 2)(random),
                        static_cast<int>(random() % 40));
    }
    const std::vector<double> four = SumsOfThreads<4>(lanes);
    const std::vector<double> eight = SumsOfThreads<8>(lanes);
    const double expected = SumLanes(lanes);
    for (const double sum : four) {
      ASSERT_EQ(std::bit_cast<uint64_t>(sum),
                std::bit_cast<uint64_t>(expected));
    }
    for (const double sum : eight) {
      ASSERT_EQ(std::bit_cast<uint64_t>(sum),
                std::bit_cast<uint64_t>(expected));
    }
  }
}

}  // namespace
}  // namespace lossd::kernels::cuda
