// An executor: threads that take batches and compute them on one backend.
#ifndef LOSSD_SERVER_EXECUTION_EXECUTOR_H_
#define LOSSD_SERVER_EXECUTION_EXECUTOR_H_

#include <string_view>

#include "server/batching/batcher.h"

namespace lossd::execution {

// Run() computes a batch on the calling thread (used inline and by its own
// threads).
class Executor : public batching::BatchRunner {
 public:
  // "cpu/AVX3_DL", "cuda/0"; lives as long as the executor.
  virtual std::string_view backend() const = 0;

  // Starts the threads, which take from `batcher` until it is closed and empty.
  virtual void Start(batching::Batcher& batcher) = 0;

  // Waits for the threads. The batcher has been closed.
  virtual void Join() = 0;
};

}  // namespace lossd::execution

#endif  // LOSSD_SERVER_EXECUTION_EXECUTOR_H_
