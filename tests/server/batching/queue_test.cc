#include "server/batching/queue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "tests/server/batching/recording_task.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

absl::Time In(int milliseconds) {
  return kNow + absl::Milliseconds(milliseconds);
}

// Gives out all blocks that are left of the head, and returns it.
Task* Next(TaskQueue& queue) {
  Task* head = queue.head();
  queue.GiveOut(kernels::BlockCount(head->segment) - head->next_block);
  return head;
}

TEST(TaskQueue, OrdersByDeadlineThenByArrival) {
  RecordingTask late(1, In(9)), never(1), early(1, In(1)), early_too(1, In(1));
  TaskQueue queue;
  for (Task* task : {&late, &never, &early, &early_too}) queue.Insert(task);
  EXPECT_EQ(queue.requests(), 4);
  EXPECT_EQ(Next(queue), &early);
  EXPECT_EQ(Next(queue), &early_too);
  EXPECT_EQ(Next(queue), &late);
  EXPECT_EQ(Next(queue), &never);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.elements(), 0);
}

TEST(TaskQueue, ATaskPartlyGivenOutStaysAtTheHead) {
  RecordingTask huge(3 * kBlock, In(9)), urgent(1, In(1));
  TaskQueue queue;
  queue.Insert(&huge);
  EXPECT_FALSE(queue.has_begun());
  EXPECT_EQ(queue.GiveOut(1).first_block, 0u);
  queue.Insert(&urgent);
  EXPECT_TRUE(queue.has_begun());
  EXPECT_EQ(queue.head(), &huge);
  EXPECT_EQ(queue.elements(), 2 * kBlock + 1);
  const Portion rest = queue.GiveOut(2);
  EXPECT_EQ(rest.first_block, 1u);
  EXPECT_EQ(rest.block_count, 2u);
  EXPECT_FALSE(queue.has_begun());
  EXPECT_EQ(Next(queue), &urgent);
}

TEST(TaskQueue, ABegunTaskCannotBeRemovedNorDoesItExpire) {
  RecordingTask huge(3 * kBlock, In(1));
  TaskQueue queue;
  queue.Insert(&huge);
  queue.GiveOut(1);
  EXPECT_FALSE(queue.Remove(&huge));
  EXPECT_EQ(queue.first_to_expire(), nullptr);
  EXPECT_EQ(queue.oldest(), nullptr);
  queue.GiveOut(2);
  EXPECT_FALSE(queue.Remove(&huge));
}

TEST(TaskQueue, ATaskPutBackComesBeforeAllOthersAndIsGivenOutAfresh) {
  RecordingTask counted(2 * kBlock), begun(3 * kBlock);
  TaskQueue queue;
  queue.Insert(&counted);
  Next(queue);
  queue.Insert(&begun);
  queue.GiveOut(1);
  queue.PutBack(&counted);
  EXPECT_EQ(queue.elements(), 4 * kBlock);
  EXPECT_EQ(queue.GiveOut(2).first_block, 0u);
  EXPECT_EQ(queue.head(), &begun);
}

TEST(TaskQueue, RemovesFromAnywhereOnce) {
  RecordingTask a(1), b(2), c(4);
  TaskQueue queue;
  for (Task* task : {&a, &b, &c}) queue.Insert(task);
  EXPECT_TRUE(queue.Remove(&b));
  EXPECT_FALSE(queue.Remove(&b));
  EXPECT_EQ(queue.elements(), 5);
  queue.Insert(&b);  // it may come again, and is then the last
  EXPECT_EQ(Next(queue), &a);
  EXPECT_EQ(Next(queue), &c);
  EXPECT_EQ(Next(queue), &b);
}

TEST(TaskQueue, KnowsTheOldestWhateverTheDeadlines) {
  RecordingTask a(1, In(9)), b(1, In(1)), c(1, In(5));
  TaskQueue queue;
  for (Task* task : {&a, &b, &c}) queue.Insert(task);
  EXPECT_EQ(queue.oldest(), &a);
  Next(queue);  // b
  EXPECT_EQ(queue.oldest(), &a);
  EXPECT_TRUE(queue.Remove(&a));
  EXPECT_EQ(queue.oldest(), &c);
  EXPECT_TRUE(queue.Remove(&c));
  EXPECT_EQ(queue.oldest(), nullptr);
  EXPECT_TRUE(queue.empty());
}

// A quadratic algorithm would take minutes for 100,000 tasks.
TEST(TaskQueue, HoldsAHundredThousandTasksInOrder) {
  std::mt19937 random(7);
  std::vector<std::unique_ptr<RecordingTask>> tasks;
  TaskQueue queue;
  for (int i = 0; i < 100'000; ++i) {
    const auto deadline = static_cast<int>(random() % 1000);
    tasks.push_back(std::make_unique<RecordingTask>(1, In(deadline)));
    tasks.back()->enqueued = In(i);
    queue.Insert(tasks.back().get());
  }
  std::shuffle(tasks.begin(), tasks.end(), random);
  for (int i = 0; i < 50'000; ++i) {
    ASSERT_TRUE(queue.Remove(tasks.back().get()));
    tasks.pop_back();
  }
  absl::Time oldest = absl::InfiniteFuture();
  for (const auto& task : tasks) oldest = std::min(oldest, task->enqueued);
  EXPECT_EQ(queue.oldest()->enqueued, oldest);
  ASSERT_EQ(queue.requests(), 50'000);
  const Task* last = Next(queue);
  while (!queue.empty()) {
    const Task* next = Next(queue);
    ASSERT_LE(last->deadline, next->deadline);
    if (last->deadline == next->deadline) {
      ASSERT_LT(last->enqueued, next->enqueued);
    }
    last = next;
  }
}

}  // namespace
}  // namespace lossd::batching
