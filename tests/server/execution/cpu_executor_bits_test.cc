// A request gets the same bits alone and in a batch with others, on one thread
// and on many, on every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <deque>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
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
  bool operator==(const Answer&) const = default;
};

Answer AnswerOf(DataTask& task) {
  return {std::bit_cast<uint64_t>(task.answer.totals.loss_sum),
          std::bit_cast<uint64_t>(task.answer.normalizer),
          task.gradient_bits()};
}

// Makes requests of all sizes. Those with odd numbers are normalised by the
// elements that take part.
std::deque<DataTask> Requests() {
  std::deque<DataTask> tasks;
  unsigned seed = 0;
  for (uint64_t elements :
       {uint64_t{1}, uint64_t{64}, kBlock - 1, kBlock, kBlock + 1,
        3 * kBlock + 5, uint64_t{77}, 40 * kBlock + 9, 33 * kBlock}) {
    DataTask& task = tasks.emplace_back(elements, ++seed);
    if (seed % 2 == 1) {
      task.segment.options.normalizer = kernels::Normalizer::kValid;
      task.segment.options.ignore_target = 1.0;
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
    const kernels::Segment& segment = task.segment;
    std::vector<kernels::BlockPartial> partials(kernels::BlockCount(segment));
    kernel.count_blocks(segment, 0, partials);
    double normalizer =
        kernels::NormalizerOf(segment, kernels::Combine(partials));
    kernel.compute_blocks(segment, kernels::GradientScale(segment, normalizer),
                          0, partials);
    answers.push_back(
        {std::bit_cast<uint64_t>(kernels::Combine(partials).loss_sum),
         std::bit_cast<uint64_t>(normalizer), task.gradient_bits()});
  }
  return answers;
}

std::vector<Answer> InCompany(const InstructionSet& kernel, int threads) {
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
  for (DataTask& task : tasks) batcher.Enqueue(&task);
  executor.Start(batcher);
  batcher.Close();
  executor.Join();
  std::vector<Answer> answers;
  for (DataTask& task : tasks) answers.push_back(AnswerOf(task));
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

}  // namespace
}  // namespace lossd::execution
