// The CPU: threads that compute blocks where the request's bytes lie.
#ifndef LOSSD_SERVER_EXECUTION_CPU_EXECUTOR_H_
#define LOSSD_SERVER_EXECUTION_CPU_EXECUTOR_H_

#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "server/base/clock.h"
#include "server/batching/batcher.h"
#include "server/execution/executor.h"
#include "server/observability/metrics.h"

namespace lossd::execution {

struct CpuExecutorOptions {
  int threads = 1;
  // Borrowed; null: the best of this machine. Others are for tests.
  const kernels::cpu::InstructionSet* instruction_set = nullptr;
};

// Each thread computes whole batches by itself: what makes one huge task use
// all of them is that the batcher gives its blocks to several batches.
//
// A gradient whose scale depends on counts is computed in two phases. A task
// that is whole in one batch goes through both at once; else whoever counts its
// last block puts it back into the queue, for all executors to compute.
//
// Run() is thread-safe, may be called on any thread and without Start(), and
// has destroyed its batch when it returns. The bits of an answer depend neither
// on the threads nor on the batch.
class CpuExecutor final : public Executor {
 public:
  // `metrics` and `clock` are borrowed.
  CpuExecutor(const CpuExecutorOptions& options,
              observability::Metrics* metrics, const Clock* clock);
  ~CpuExecutor() override;  // joined by then, if it was started

  std::string_view backend() const override { return backend_; }
  void Start(batching::Batcher& batcher) override;
  void Join() override;
  void Run(batching::Batch batch) override;

 private:
  // Counts or computes the portion. True: its task is computed, and the caller
  // finishes it.
  bool RunPortion(const batching::Portion& portion, batching::Batch& batch);

  const CpuExecutorOptions options_;
  const kernels::cpu::InstructionSet& kernel_;
  const std::string backend_;
  observability::Metrics* const metrics_;
  const Clock* const clock_;
  // Touched by Start() and Join() alone.
  std::vector<std::thread> threads_;
};

}  // namespace lossd::execution

#endif  // LOSSD_SERVER_EXECUTION_CPU_EXECUTOR_H_
