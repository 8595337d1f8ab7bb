#include "server/batching/flows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "server/batching/queue.h"
#include "tests/server/batching/naive_flows.h"
#include "tests/server/batching/recording_task.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
constexpr int64_t kQuantum = 4 * kBlock;
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

absl::Time In(int milliseconds) {
  return kNow + absl::Milliseconds(milliseconds);
}

class FlowsTest : public ::testing::Test {
 protected:
  Task* Add(uint64_t flow, int64_t elements,
            absl::Time deadline = absl::InfiniteFuture()) {
    RecordingTask& task =
        tasks_.emplace_back(static_cast<uint64_t>(elements), deadline);
    task.flow = flow;
    queue_.Insert(&task);
    return &task;
  }
  Task* Next() {
    Task* head = queue_.head();
    queue_.GiveOut(kernels::BlockCount(head->segment) - head->next_block);
    return head;
  }
  // Returns the flows of the next `count` tasks, as digits.
  std::string NextFlows(int count) {
    std::string flows;
    for (int i = 0; i < count; ++i) flows += std::to_string(Next()->flow);
    return flows;
  }

  std::deque<RecordingTask> tasks_;
  TaskQueue queue_{kQuantum};
};

TEST_F(FlowsTest, SmallRequestsOfTwoFlowsAlternateByQuanta) {
  for (int i = 0; i < 20; ++i) Add(1, 64);
  for (int i = 0; i < 20; ++i) Add(2, 64);
  EXPECT_EQ(NextFlows(40), "1111222211112222111122221111222211112222");
  EXPECT_TRUE(queue_.empty());
}

TEST_F(FlowsTest, ALoneFlowIsServedInItsOwnOrderWithoutLimit) {
  Task* late = Add(1, 100 * kBlock, In(9));
  Task* early = Add(1, 1, In(1));
  Task* never = Add(1, 1);
  Task* early_too = Add(1, 100 * kBlock, In(1));
  for (Task* task : {early, early_too, late, never}) EXPECT_EQ(Next(), task);
}

TEST_F(FlowsTest, AGreedyFlowDelaysANewOneByAtMostAQuantum) {
  for (int i = 0; i < 10'000; ++i) Add(1, 64);
  Next();
  Task* polite = Add(2, 64);
  int before = 0;
  while (Next() != polite) ++before;
  EXPECT_LE(before, kQuantum / kBlock);
  EXPECT_EQ(queue_.requests(), 10'000 - 1 - before);
}

TEST_F(FlowsTest, WhatCountsIsElementsNotRequests) {
  // Flow 1 has four blocks per request and flow 2 one, so flow 1 gets a quarter
  // of the requests.
  for (int i = 0; i < 12; ++i) Add(1, 4 * kBlock);
  for (int i = 0; i < 48; ++i) Add(2, kBlock);
  EXPECT_EQ(NextFlows(15), "122221222212222");
}

TEST_F(FlowsTest, AHugeRequestWaitsUntilItsFlowHasSavedForIt) {
  Add(1, 12 * kBlock);
  for (int i = 0; i < 48; ++i) Add(2, kBlock);
  // It costs three quanta: its turn is in the third round, before that of flow
  // 2.
  EXPECT_EQ(NextFlows(13), "2222222212222");
}

TEST_F(FlowsTest, AHugeRequestGoesAtOnceWhereNobodyElseWaits) {
  Task* huge = Add(1, 1000 * kBlock);
  EXPECT_EQ(Next(), huge);
}

TEST_F(FlowsTest, TheEarliestDeadlineIsFirstWithinItsFlowOnly) {
  for (int i = 0; i < 4; ++i) Add(1, kBlock);
  Task* patient = Add(2, kBlock, In(5));
  Task* urgent = Add(2, kBlock, In(1));
  EXPECT_EQ(NextFlows(4), "1111");
  EXPECT_EQ(Next(), urgent);
  EXPECT_EQ(Next(), patient);
}

TEST_F(FlowsTest, AnUrgentRequestNeedNotWaitForWhatItsFlowSavesFor) {
  Task* huge = Add(1, 100 * kBlock);
  for (int i = 0; i < 12; ++i) Add(2, kBlock);
  EXPECT_EQ(NextFlows(8), "22222222");  // flow 1 has saved for two rounds
  Task* urgent = Add(1, kBlock, In(1));
  EXPECT_EQ(Next(), urgent);
  EXPECT_EQ(NextFlows(4), "2222");
  EXPECT_EQ(Next(), huge);
}

TEST_F(FlowsTest, TheFirstToExpireIsFoundInWhicheverFlow) {
  Add(1, 1);
  EXPECT_EQ(queue_.first_to_expire(), nullptr);
  Task* later = Add(2, 1, In(7));
  Task* sooner = Add(3, 1, In(3));
  EXPECT_EQ(queue_.first_to_expire(), sooner);
  EXPECT_TRUE(queue_.Remove(sooner));
  EXPECT_EQ(queue_.first_to_expire(), later);
  Next();
  Next();
  EXPECT_EQ(queue_.first_to_expire(), nullptr);
}

TEST_F(FlowsTest, AnIdleFlowIsForgottenAndSavesNothing) {
  Flows flows(kQuantum);
  RecordingTask a(100 * kBlock), b(kBlock);
  a.flow = 1;
  b.flow = 2;
  flows.Add(&a);
  flows.Add(&b);
  EXPECT_EQ(flows.size(), 2u);
  EXPECT_EQ(flows.next(), &b);
  flows.TakeNext();
  EXPECT_EQ(flows.size(), 1u);
  flows.Remove(&a);
  EXPECT_EQ(flows.size(), 0u);
  EXPECT_TRUE(flows.empty());
  EXPECT_EQ(flows.waiting().elements, 0);
  EXPECT_EQ(a.place.in, nullptr);
}

TEST_F(FlowsTest, AStreamOfNewFlowsStarvesNobody) {
  for (int i = 0; i < 8; ++i) Add(0, kBlock);
  Add(1, kBlock);
  int of_flow_0 = 0;
  // Each task that is served is replaced by one of a flow that is new.
  for (uint64_t fresh = 2; fresh < 40 && of_flow_0 < 8; ++fresh) {
    of_flow_0 += Next()->flow == 0;
    Add(fresh, kBlock);
  }
  EXPECT_EQ(of_flow_0, 8);
}

TEST_F(FlowsTest, WhatIsAheadIsOnesOwnAndTheTurnsOfOthers) {
  for (int i = 0; i < 1000; ++i) Add(1, kBlock);
  const Work newcomer = queue_.Ahead(2);
  EXPECT_EQ(newcomer.requests, 4);
  EXPECT_EQ(newcomer.elements, 4 * kBlock);
  EXPECT_EQ(queue_.Ahead(1).requests, 1000);  // all are of flow 1
  for (int i = 0; i < 8; ++i) Add(2, kBlock);
  EXPECT_EQ(queue_.Ahead(2).requests, 8 + 3 * 4);
  EXPECT_EQ(queue_.Ahead(1).requests, 1008);  // flow 2 has only 8
}

TEST_F(FlowsTest, WhatIsBegunIsAheadOfEveryFlow) {
  Add(1, 10 * kBlock);
  queue_.GiveOut(3);
  const Work newcomer = queue_.Ahead(2);
  EXPECT_EQ(newcomer.requests, 1);
  EXPECT_EQ(newcomer.elements, 7 * kBlock);
}

// Adds, removes and serves tasks in random order, and compares the queue with
// the obvious loop (naive_flows.h).
class RandomFlows {
 public:
  explicit RandomFlows(unsigned seed) : random_(seed) {}

  void Run() {
    for (int step = 0; step < 3000; ++step) {
      // The queue runs empty from time to time.
      const unsigned more = step / 300 % 2 == 0 ? 5 : 3;
      const unsigned dice = random_() % 8;
      if (dice < more) {
        Add();
      } else if (dice == 7 && !waiting_.empty()) {
        RemoveAny();
      } else if (!queue_.empty()) {
        Serve();
      }
      if (::testing::Test::HasFatalFailure()) return;
      Check();
    }
  }

 private:
  void Add() {
    // Most tasks are small; some have several quanta.
    const uint64_t blocks = random_() % 6 == 0 ? 1 + random_() % 40 : 1;
    absl::Time deadline = absl::InfiniteFuture();
    if (random_() % 3 == 0) deadline = In(static_cast<int>(random_() % 50));
    tasks_.emplace_back(1 + random_() % (blocks * kBlock), deadline);
    Task* task = &tasks_.back();
    task->flow = random_() % 5;
    queue_.Insert(task);
    naive_.Add(task);
    waiting_.push_back(task);
  }
  void RemoveAny() {
    Task* task = waiting_[random_() % waiting_.size()];
    naive_.Remove(task);
    ASSERT_TRUE(queue_.Remove(task));
    std::erase(waiting_, task);
  }
  void Serve() {
    Task* expected = naive_.TakeNext();
    ASSERT_EQ(queue_.head(), expected);
    queue_.GiveOut(kernels::BlockCount(expected->segment));
    std::erase(waiting_, expected);
  }
  void Check() {
    ASSERT_EQ(queue_.requests(), std::ssize(waiting_));
    int64_t elements = 0;
    absl::Time deadline = absl::InfiniteFuture();
    for (const Task* task : waiting_) {
      elements += static_cast<int64_t>(task->segment.element_count);
      deadline = std::min(deadline, task->deadline);
    }
    ASSERT_EQ(queue_.elements(), elements);
    ASSERT_EQ(queue_.oldest(), waiting_.empty() ? nullptr : waiting_.front());
    const Task* first = queue_.first_to_expire();
    ASSERT_EQ(first == nullptr ? absl::InfiniteFuture() : first->deadline,
              deadline);
  }

  std::mt19937 random_;
  std::deque<RecordingTask> tasks_;
  std::vector<Task*> waiting_;  // by arrival
  TaskQueue queue_{kQuantum};
  NaiveFlows naive_{kQuantum};
};

TEST(FlowsProperty, TheQueueServesAsTheObviousLoopDoes) {
  for (unsigned seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    RandomFlows(seed).Run();
    if (::testing::Test::HasFatalFailure()) return;
  }
}

// The service of flows that always have tasks waiting, of very different sizes,
// never differs by more than a quantum and the largest task.
TEST(FlowsProperty, FlowsThatAlwaysWaitAreServedAlike) {
  constexpr int64_t kLargest = 30 * kBlock;
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    std::deque<RecordingTask> tasks;
    TaskQueue queue(kQuantum);
    std::vector<int64_t> served(6, 0);
    const auto add = [&](uint64_t flow) {
      // Flow 0 sends only blocks, flow 5 only the largest.
      const uint64_t most = 1 + (kLargest / kBlock - 1) * flow / 5;
      const uint64_t blocks = flow == 5 ? most : 1 + random() % most;
      tasks.emplace_back(blocks * kBlock).flow = flow;
      queue.Insert(&tasks.back());
    };
    for (uint64_t flow = 0; flow < served.size(); ++flow) {
      for (int i = 0; i < 2; ++i) add(flow);
    }
    for (int i = 0; i < 4000; ++i) {
      const Task* head = queue.head();
      queue.GiveOut(kernels::BlockCount(head->segment));
      served[head->flow] += static_cast<int64_t>(head->segment.element_count);
      add(head->flow);
      const auto [least, most] =
          std::minmax_element(served.begin(), served.end());
      ASSERT_LE(*most - *least, kQuantum + kLargest) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace lossd::batching
