#include "server/execution/task_completion.h"

#include <gtest/gtest.h>
#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <string>

#include "tests/server/batching/recording_task.h"

namespace lossd::execution {
namespace {

constexpr uint64_t kBlock = kernels::kBlockElements;

// Returns the sum of a counter over all its labels.
double Counted(const observability::Metrics& metrics, const std::string& name) {
  double sum = 0;
  for (const auto& family : metrics.collectable()->Collect()) {
    if (family.name != name) continue;
    for (const auto& metric : family.metric) sum += metric.counter.value;
  }
  return sum;
}

TEST(BlocksDone, OnlyTheLastBlocksEndThePhase) {
  batching::RecordingTask task(5 * kBlock);
  Prepare(task);
  EXPECT_FALSE(BlocksDone(task, 2));
  EXPECT_FALSE(BlocksDone(task, 2));
  EXPECT_TRUE(BlocksDone(task, 1));
}

TEST(BeginComputing, ScalesByTheCountsAndStartsOver) {
  batching::RecordingTask task(2 * kBlock);
  task.NeedCounts();
  task.segment.options.loss_weight = 3;
  Prepare(task);
  task.partials[0].valid_count = 5;
  task.partials[1].valid_count = 7;
  task.blocks_left = 0;
  BeginComputing(task);
  EXPECT_EQ(task.phase, batching::Task::Phase::kComputing);
  EXPECT_EQ(task.blocks_left, 2u);
  EXPECT_EQ(task.gradient_scale, 0.25);
}

// Reads the metrics while it is being answered.
class WatchingTask final : public batching::RecordingTask {
 public:
  WatchingTask(uint64_t elements, const observability::Metrics& metrics)
      : RecordingTask(elements), metrics_(metrics) {}
  void OnComputed(const batching::Computed& computed) override {
    elements_seen = Counted(metrics_, "lossd_elements_total");
    nans_seen = Counted(metrics_, "lossd_nan_logits_total");
    RecordingTask::OnComputed(computed);
  }
  double elements_seen = 0;
  double nans_seen = 0;

 private:
  const observability::Metrics& metrics_;
};

TEST(Finish, CountsATaskBeforeItAnswersIt) {
  observability::Metrics metrics("test", "cpu");
  WatchingTask task(kBlock + 1, metrics);
  Prepare(task);
  task.partials[0].nan_count = 2;
  task.partials[1].nan_count = 1;
  task.partials[1].loss_sum = 4.5;
  const absl::Time now = absl::UnixEpoch() + absl::Hours(1);
  task.enqueued = now - absl::Milliseconds(3);
  task.started = now - absl::Milliseconds(2);
  Finish(task, kernels::Combine(task.partials), "cpu/TEST", now, metrics);
  ASSERT_TRUE(task.was_computed);
  EXPECT_EQ(task.elements_seen, kBlock + 1);
  EXPECT_EQ(task.nans_seen, 3);
  EXPECT_EQ(task.answer.totals.loss_sum, 4.5);
  EXPECT_EQ(task.answer.normalizer, kBlock + 1);
  EXPECT_EQ(task.answer.backend, "cpu/TEST");
  EXPECT_EQ(task.answer.started, now - absl::Milliseconds(2));
  EXPECT_EQ(task.answer.finished, now);
}

}  // namespace
}  // namespace lossd::execution
