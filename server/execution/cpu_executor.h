// The executor for the CPU: threads that compute blocks where the request's
// bytes lie.
#ifndef LOSSD_SERVER_EXECUTION_CPU_EXECUTOR_H_
#define LOSSD_SERVER_EXECUTION_CPU_EXECUTOR_H_

#include <cstdint>
#include <span>
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
  // Borrowed; null chooses the best of this machine. Tests pass others.
  const kernels::cpu::InstructionSet* instruction_set = nullptr;
};

// Each thread computes a whole batch by itself. One huge task still uses all
// threads, because the batcher gives its blocks to several batches (D29).
//
// A gradient whose scale depends on counts is computed in two phases. A task
// with all its blocks in one batch goes through both at once. A task that
// several batches share is put back into the queue by the thread that counts
// its last block, for all executors to compute.
//
// Run() is thread-safe, may be called on any thread and without Start(), and
// has destroyed its batch when it returns. Start() and Join() are called by one
// thread. The bits of an answer depend neither on the threads nor on the batch.
class CpuExecutor final : public Executor {
 public:
  // `metrics` and `clock` are borrowed.
  CpuExecutor(const CpuExecutorOptions& options,
              observability::Metrics* metrics, const Clock* clock);
  // Join() was called by then, if Start() was.
  ~CpuExecutor() override;

  std::string_view backend() const override { return backend_; }
  void Start(batching::Batcher& batcher) override;
  void Join() override;
  void Run(batching::Batch batch) override;

 private:
  // Counts or computes the portion. Returns true if its task is computed: then
  // the caller finishes the task.
  bool RunPortion(const batching::Portion& portion, batching::Batch& batch);
  // Computes blocks, and samples them for the task's job.
  void ComputeSampled(const batching::Task& task, uint64_t first_block,
                      std::span<kernels::BlockPartial> partials) const;

  const CpuExecutorOptions options_;
  const kernels::cpu::InstructionSet& kernel_;
  const std::string backend_;
  observability::Metrics* const metrics_;
  const Clock* const clock_;
  // Only Start() and Join() use it.
  std::vector<std::thread> threads_;
};

}  // namespace lossd::execution

#endif  // LOSSD_SERVER_EXECUTION_CPU_EXECUTOR_H_
