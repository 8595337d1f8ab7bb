#include "server/observability/per_thread.h"

#include <gtest/gtest.h>

#include <barrier>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace lossd::observability {
namespace {

template <typename T>
std::vector<T> Values(const PerThread<T>& shards) {
  std::vector<T> values;
  shards.Read([&](const auto& list) {
    for (const auto& shard : list) values.push_back(*shard);
  });
  return values;
}

TEST(PerThread, GivesAThreadTheSameShardAgain) {
  PerThread<int> shards;
  int* const first = &shards.Local();
  EXPECT_EQ(first, &shards.Local());
  EXPECT_EQ(Values(shards).size(), 1u);
}

TEST(PerThread, GivesThreadsThatLiveTogetherDifferentShards) {
  constexpr int kThreads = 8;
  PerThread<int> shards;
  std::barrier all_have_one(kThreads);
  std::vector<int*> seen(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      seen[static_cast<size_t>(i)] = &shards.Local();
      all_have_one.arrive_and_wait();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), size_t{kThreads});
}

TEST(PerThread, KeepsWhatAnEndedThreadCountedAndUsesItsShardAgain) {
  PerThread<int> shards;
  for (int i = 0; i < 100; ++i)
    std::thread([&] { shards.Local() += 1; }).join();
  const std::vector<int> values = Values(shards);
  EXPECT_EQ(values.size(), 1u);
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), 0), 100);
}

TEST(PerThread, KeepsSeveralObjectsApartOnOneThread) {
  PerThread<int> a;
  PerThread<int> b;
  for (int i = 0; i < 3; ++i) {
    a.Local() += 1;
    b.Local() += 10;
  }
  EXPECT_EQ(Values(a), std::vector{3});
  EXPECT_EQ(Values(b), std::vector{30});
}

TEST(PerThread, ANewObjectIsNotTakenForAnEarlierOneAtItsAddress) {
  std::optional<PerThread<int>> shards;
  for (int i = 0; i < 3; ++i) {
    shards.emplace();
    shards->Local() += 1;
    EXPECT_EQ(Values(*shards), std::vector{1});
  }
}

TEST(PerThread, MayGoBeforeAThreadThatUsedIt) {
  auto shards = std::make_unique<PerThread<int>>();
  std::barrier used(2);
  std::barrier gone(2);
  std::thread thread([&] {
    shards->Local() = 1;
    used.arrive_and_wait();
    gone.arrive_and_wait();  // and then its shard goes back to nobody
  });
  used.arrive_and_wait();
  shards.reset();
  gone.arrive_and_wait();
  thread.join();
}

}  // namespace
}  // namespace lossd::observability
