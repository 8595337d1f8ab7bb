#include "server/batching/decision.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::batching {
namespace {

constexpr int64_t kBlock = kernels::kBlockElements;
const absl::Time kNow = absl::UnixEpoch() + absl::Hours(1);

using Verdict = Timing::Verdict;
using absl::InfiniteFuture;
using absl::Milliseconds;

struct TimingCase {
  std::string what;
  QueueView queue;
  int idle = 1;
  absl::Duration delay = absl::ZeroDuration();
  Verdict verdict;
  absl::Time until = InfiniteFuture();
};

// Returns a queue of one small task that arrived `ago`.
QueueView One(absl::Duration ago) {
  return {.requests = 1, .elements = 64, .oldest = kNow - ago};
}

QueueView With(QueueView queue, void (*change)(QueueView&)) {
  change(queue);
  return queue;
}

const TimingCase kTimingCases[] = {
    {.what = "nothing waits", .queue = {}, .verdict = Verdict::kNothing},
    {.what = "a lone task does not wait",
     .queue = One(absl::ZeroDuration()),
     .verdict = Verdict::kTake},
    {.what = "no executor is idle",
     .queue = One(Milliseconds(50)),
     .idle = 0,
     .verdict = Verdict::kNothing},
    {.what = "a hold begins",
     .queue = One(absl::ZeroDuration()),
     .delay = Milliseconds(5),
     .verdict = Verdict::kWait,
     .until = kNow + Milliseconds(5)},
    {.what = "a hold goes on",
     .queue = One(Milliseconds(3)),
     .delay = Milliseconds(5),
     .verdict = Verdict::kWait,
     .until = kNow + Milliseconds(2)},
    {.what = "a hold ends",
     .queue = One(Milliseconds(5)),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "a hold without an idle executor",
     .queue = One(Milliseconds(9)),
     .idle = 0,
     .delay = Milliseconds(5),
     .verdict = Verdict::kNothing},
    {.what = "the batch has all the requests it may have",
     .queue = With(One({}), [](QueueView& q) { q.requests = 4; }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "one request short of that",
     .queue = With(One({}), [](QueueView& q) { q.requests = 3; }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kWait,
     .until = kNow + Milliseconds(5)},
    {.what = "the batch has all the elements it may have",
     .queue = With(One({}), [](QueueView& q) { q.elements = 8 * kBlock; }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "a task that was begun is not held",
     .queue = With(One({}), [](QueueView& q) { q.begun = true; }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "no task comes after the close",
     .queue = With(One({}), [](QueueView& q) { q.closed = true; }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "the clock went back",
     .queue = One(Milliseconds(-3600000)),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "a deadline ends the hold early enough to be met",
     .queue = With(One({}),
                   [](QueueView& q) {
                     q.earliest_deadline = kNow + Milliseconds(4);
                     q.time_to_compute = Milliseconds(2);
                   }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kWait,
     .until = kNow + Milliseconds(1)},
    {.what = "a deadline that is near allows no hold",
     .queue = With(One({}),
                   [](QueueView& q) {
                     q.earliest_deadline = kNow + Milliseconds(3);
                     q.time_to_compute = Milliseconds(2);
                   }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
    {.what = "a deadline that has passed is looked at, to be dropped",
     .queue = With(One({}), [](QueueView& q) { q.earliest_deadline = kNow; }),
     .delay = Milliseconds(5),
     .verdict = Verdict::kTake},
};

TEST(WhenToTake, FollowsTheTable) {
  for (const TimingCase& c : kTimingCases) {
    const BatcherOptions options = {.max_batch_requests = 4,
                                    .max_batch_elements = 8 * kBlock,
                                    .max_queue_delay = c.delay};
    const Timing timing = WhenToTake(c.queue, kNow, c.idle, options);
    EXPECT_EQ(timing.verdict, c.verdict) << c.what;
    EXPECT_EQ(timing.until, c.until) << c.what;
  }
}

TEST(IsExpired, ATaskExpiresAtItsDeadlineNotAfterIt) {
  EXPECT_FALSE(IsExpired(kNow + absl::Nanoseconds(1), kNow));
  EXPECT_TRUE(IsExpired(kNow, kNow));
  EXPECT_TRUE(IsExpired(kNow - Milliseconds(1), kNow));
  EXPECT_FALSE(IsExpired(InfiniteFuture(), kNow));
}

TEST(ElementLimit, IsAnExecutorsShareWithinBothBounds) {
  const BatcherOptions options = {
      .max_batch_elements = 1000, .executors = 4, .min_portion_elements = 100};
  EXPECT_EQ(ElementLimit(40, options), 100);
  EXPECT_EQ(ElementLimit(401, options), 101);
  EXPECT_EQ(ElementLimit(2000, options), 500);
  EXPECT_EQ(ElementLimit(int64_t{1} << 60, options), 1000);
}

TEST(ElementLimitOf, IsLargerForADirectTaskOfManyBatches) {
  const BatcherOptions options = {.max_batch_elements = 1000,
                                  .max_direct_elements = 4000,
                                  .executors = 2,
                                  .min_portion_elements = 100};
  const int64_t queued = int64_t{1} << 40;
  const auto limit = [&](uint64_t elements, bool direct) {
    return ElementLimitOf({.element_count = elements, .direct = direct}, queued,
                          options);
  };
  EXPECT_EQ(limit(16 * 1000, true), 1000);
  EXPECT_EQ(limit(16 * 3000, true), 3000);
  EXPECT_EQ(limit(16 * 9000, true), 4000);
  EXPECT_EQ(limit(16 * 9000, false), 1000);
  // The queue is still shared.
  EXPECT_EQ(ElementLimitOf({.element_count = 16 * 9000, .direct = true}, 1200,
                           options),
            600);
}

TEST(ElementLimit, TheBatchsBoundWinsOverThePortions) {
  const BatcherOptions options = {.max_batch_elements = 50,
                                  .min_portion_elements = 100};
  EXPECT_EQ(ElementLimit(1000, options), 50);
}

TEST(BatchesWaiting, CountsByElementsAndByRequests) {
  const BatcherOptions options = {.max_batch_requests = 10,
                                  .max_batch_elements = 1000,
                                  .executors = 2,
                                  .min_portion_elements = 100};
  EXPECT_EQ(BatchesWaiting({}, options), 0);
  EXPECT_EQ(BatchesWaiting({.requests = 1, .elements = 1}, options), 1);
  EXPECT_EQ(BatchesWaiting({.requests = 1, .elements = 300}, options), 2);
  EXPECT_EQ(BatchesWaiting({.requests = 1, .elements = 5000}, options), 5);
  EXPECT_EQ(BatchesWaiting({.requests = 31, .elements = 31}, options), 4);
}

struct Waiting {
  uint64_t elements;
  uint64_t next_block = 0;
  bool indivisible = false;
};

struct ContentsCase {
  std::string what;
  BatcherOptions options;
  std::vector<Waiting> queue;
  std::vector<uint64_t> blocks;  // for each task that goes in, in order
};

// Returns the blocks of each task that one batch takes from the queue.
std::vector<uint64_t> Contents(const std::vector<Waiting>& queue,
                               const BatcherOptions& options) {
  int64_t queued = 0;
  for (const Waiting& task : queue) {
    queued += static_cast<int64_t>(task.elements - task.next_block * kBlock);
  }
  const int64_t limit = ElementLimit(queued, options);
  Filling batch;
  std::vector<uint64_t> taken;
  for (const Waiting& task : queue) {
    const uint64_t blocks = BlocksToTake(
        batch, limit, {task.elements, task.next_block, task.indivisible},
        options);
    if (blocks == 0) break;
    taken.push_back(blocks);
    ++batch.requests;
    batch.elements += ElementsIn(task.elements, task.next_block, blocks);
  }
  return taken;
}

constexpr BatcherOptions kSplit = {.max_batch_requests = 4,
                                   .max_batch_elements = 8 * kBlock,
                                   .executors = 1,
                                   .min_portion_elements = 2 * kBlock};
constexpr BatcherOptions kTwo = {.max_batch_requests = 4,
                                 .max_batch_elements = 8 * kBlock,
                                 .executors = 2,
                                 .min_portion_elements = 2 * kBlock};
constexpr BatcherOptions kTiny = {.max_batch_elements = 1};

const ContentsCase kContentsCases[] = {
    {"small tasks share a batch", kSplit, {{64}, {64}, {4096}}, {1, 1, 2}},
    {"not more than its requests",
     kSplit,
     {{1}, {1}, {1}, {1}, {1}},
     {1, 1, 1, 1}},
    {"one huge task is cut at the limit", kSplit, {{100 * kBlock}}, {8}},
    {"the rest of it begins where it was cut",
     kSplit,
     {{100 * kBlock, 97}, {64}},
     {3, 1}},
    {"its last block may be short", kSplit, {{8 * kBlock - 1}}, {8}},
    {"one element too many is another batch", kSplit, {{8 * kBlock + 1}}, {8}},
    {"a task that still fits in part is cut",
     kSplit,
     {{6 * kBlock}, {6 * kBlock}},
     {6, 2}},
    {"but not for a sliver", kSplit, {{7 * kBlock}, {6 * kBlock}}, {7}},
    {"a small task after a full batch waits",
     kSplit,
     {{8 * kBlock}, {64}},
     {8}},
    {"two executors share one task", kTwo, {{8 * kBlock}}, {4}},
    {"the second share is smaller: they end together",
     kTwo,
     {{8 * kBlock, 4}},
     {2}},
    {"what is small is not shared", kTwo, {{2 * kBlock}}, {2}},
    {"indivisible tasks fill a batch",
     kSplit,
     {{4 * kBlock, 0, true}, {4 * kBlock, 0, true}},
     {4, 4}},
    {"an indivisible task that does not fit waits",
     kSplit,
     {{4 * kBlock}, {5 * kBlock, 0, true}, {1}},
     {4}},
    {"an indivisible task over the limit goes alone",
     kTwo,
     {{100 * kBlock, 0, true}, {1}},
     {100}},
    {"a divisible task after an indivisible one is cut",
     kSplit,
     {{4 * kBlock, 0, true}, {6 * kBlock}},
     {4, 4}},
    {"a limit below a block still lets one block through",
     kTiny,
     {{3 * kBlock}, {1}},
     {1}},
};

TEST(BlocksToTake, FollowsTheTable) {
  for (const ContentsCase& c : kContentsCases) {
    EXPECT_EQ(Contents(c.queue, c.options), c.blocks) << c.what;
  }
}

TEST(ElementsIn, CountsTheShortLastBlock) {
  EXPECT_EQ(ElementsIn(1, 0, 1), 1);
  EXPECT_EQ(ElementsIn(3 * kBlock, 1, 1), kBlock);
  EXPECT_EQ(ElementsIn(3 * kBlock + 5, 1, 3), 2 * kBlock + 5);
}

}  // namespace
}  // namespace lossd::batching
