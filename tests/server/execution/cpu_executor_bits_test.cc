// A request gets the same bits alone and in a batch with others, on one thread
// and on many, on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "kernels/rows.h"
#include "server/base/clock.h"
#include "server/batching/batcher.h"
#include "server/execution/cpu_executor.h"
#include "tests/server/execution/data_task.h"

namespace lossd::execution {
namespace {

using kernels::cpu::InstructionSet;
using kernels::cpu::InstructionSets;

constexpr uint64_t kBlock = kernels::kBlockElements;

struct Answer {
  uint64_t loss = 0;
  uint64_t normalizer = 0;
  std::vector<uint32_t> gradient;
  std::vector<uint64_t> rows;
  bool operator==(const Answer&) const = default;
};

Answer AnswerOf(DataTask& task, const batching::Computed& computed) {
  Answer answer = {std::bit_cast<uint64_t>(computed.totals.loss_sum),
                   std::bit_cast<uint64_t>(computed.normalizer),
                   task.gradient_bits(),
                   {}};
  if (task.segment.row_elements == 0) return answer;
  kernels::RowAccumulator().Add(task.segment, [&](const auto& totals) {
    answer.rows.push_back(
        std::bit_cast<uint64_t>(kernels::RowLoss(task.segment, totals)));
  });
  return answer;
}

// Makes requests of all sizes, each of them with every reduction: a mean, rows
// of 1 and 7 elements and of more than a block, and the mean of such rows.
// Those with odd numbers are normalised by the elements that take part.
std::deque<DataTask> Requests() {
  using kernels::Reduction;
  std::deque<DataTask> tasks;
  unsigned seed = 0;
  for (const uint64_t row :
       {uint64_t{0}, uint64_t{1}, uint64_t{7}, 3001 + kBlock}) {
    for (const uint64_t elements :
         {uint64_t{1}, uint64_t{64}, kBlock - 1, kBlock, kBlock + 1,
          3 * kBlock + 5, uint64_t{77}, 40 * kBlock + 9, 33 * kBlock}) {
      const uint64_t whole =
          row > 1 ? (elements + row - 1) / row * row : elements;
      DataTask& task = tasks.emplace_back(whole, ++seed);
      if (seed % 2 == 1) {
        task.segment.options.normalizer = kernels::Normalizer::kValid;
        task.segment.options.ignore_target = 1.0;
      }
      if (row == 0) continue;
      task.GiveRows(row,
                    seed % 3 == 0 ? Reduction::kMeanOfRows : Reduction::kRows);
    }
  }
  return tasks;
}

// Computes the expected answers: each request by itself, all its blocks in one
// call, on this thread.
std::vector<Answer> Alone() {
  const InstructionSet& kernel = InstructionSets().back();
  std::vector<Answer> answers;
  for (DataTask& task : Requests()) {
    batching::Prepare(task);
    if (task.phase == batching::Task::Phase::kCounting) {
      kernel.count_blocks(task.segment, 0, task.partials);
      batching::BeginComputing(task, kernels::Combine(task.partials));
    }
    kernel.compute_blocks(task.segment, task.gradient_scale, 0, task.partials);
    answers.push_back(AnswerOf(task, batching::AnswerOf(task)));
  }
  return answers;
}

// `job` is what the metrics say of the requests together.
std::vector<Answer> InCompany(const InstructionSet& kernel, int threads,
                              observability::JobTotals* job = nullptr) {
  SystemClock clock;
  observability::Metrics metrics("test", "cpu");
  batching::Batcher batcher(
      {.max_batch_requests = 4,
       .max_batch_elements = static_cast<int64_t>(8 * kBlock),
       .executors = threads,
       .min_portion_elements = static_cast<int64_t>(kBlock)},
      &clock);
  CpuExecutor executor({.threads = threads, .instruction_set = &kernel},
                       &metrics, &clock);
  std::deque<DataTask> tasks = Requests();
  for (DataTask& task : tasks) {
    if (job != nullptr) task.job = metrics.jobs().names().other();
    batcher.Enqueue(&task);
  }
  executor.Start(batcher);
  batcher.Close();
  executor.Join();
  std::vector<Answer> answers;
  for (DataTask& task : tasks) answers.push_back(AnswerOf(task, task.answer));
  if (job != nullptr) {
    metrics.jobs().names().NumberOf("other", clock.Now());
    *job = metrics.jobs().Totals().at(0);
  }
  return answers;
}

TEST(CpuExecutorBits, AreTheSameOnOneToFourThreadsAndEveryInstructionSet) {
  const std::vector<Answer> expected = Alone();
  for (const InstructionSet& kernel : InstructionSets()) {
    for (int threads = 1; threads <= 4; ++threads) {
      const std::vector<Answer> answers = InCompany(kernel, threads);
      ASSERT_EQ(answers.size(), expected.size());
      for (size_t i = 0; i < answers.size(); ++i) {
        EXPECT_TRUE(answers[i] == expected[i])
            << kernel.name << ", " << threads << " threads, request " << i;
      }
    }
  }
}

// D93
TEST(CpuExecutorBits, AndTheCountsOfAJobAreTheSameWhoeverComputes) {
  using observability::JobTotals;
  const std::vector<Answer> expected = Alone();
  std::optional<JobTotals> first;
  for (const InstructionSet& kernel : InstructionSets()) {
    for (const int threads : {1, 3}) {
      JobTotals job;
      EXPECT_TRUE(InCompany(kernel, threads, &job) == expected) << kernel.name;
      if (!first) first = job;
      EXPECT_EQ(job.counts, first->counts) << kernel.name << " " << threads;
      for (size_t k = 0; k < job.sums.size(); ++k) {
        EXPECT_NEAR(job.sums[k], first->sums[k], 1e-12 * first->sums[k]);
      }
    }
  }
  EXPECT_EQ(first->counts[JobTotals::kRequests],
            static_cast<int64_t>(expected.size()));
  EXPECT_GT(first->counts[JobTotals::kPositives], 0);
  EXPECT_GT(first->sums[JobTotals::kGradientSquares], 0);
}

}  // namespace
}  // namespace lossd::execution
