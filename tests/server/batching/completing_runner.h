// A runner that finishes what it is given without computing anything.
#ifndef LOSSD_TESTS_SERVER_BATCHING_COMPLETING_RUNNER_H_
#define LOSSD_TESTS_SERVER_BATCHING_COMPLETING_RUNNER_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "server/batching/batcher.h"

namespace lossd::batching {

// Treats a batch as an executor does, but computes nothing. Thread-safe.
class CompletingRunner final : public BatchRunner {
 public:
  void Run(Batch batch) override {
    ++batches;
    for (const Portion& portion : batch.portions) {
      Task& task = *portion.task;
      const uint64_t all = kernels::BlockCount(task.segment);
      const uint64_t blocks = portion.block_count;
      const bool counts = task.phase == Task::Phase::kCounting && blocks != all;
      if (task.blocks_left.fetch_sub(blocks) != blocks) continue;
      if (counts) {
        task.phase = Task::Phase::kComputing;
        task.blocks_left = all;
        batch.PutBack(&task);
      } else {
        task.OnComputed(AnswerOf(task));
      }
    }
  }

  std::atomic<int> batches{0};
};

}  // namespace lossd::batching

#endif  // LOSSD_TESTS_SERVER_BATCHING_COMPLETING_RUNNER_H_
