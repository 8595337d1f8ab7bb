// The interface of an executor: threads that take batches and compute them on
// one backend.
#ifndef LOSSD_SERVER_EXECUTION_EXECUTOR_H_
#define LOSSD_SERVER_EXECUTION_EXECUTOR_H_

#include <string_view>

#include "server/batching/batcher.h"

namespace lossd::execution {

// Run() computes a batch on the calling thread. The executor's own threads call
// it, and RPC threads for inline batches; it is thread-safe. The other
// functions are called by the thread that starts and ends the server.
class Executor : public batching::BatchRunner {
 public:
  // The backend's name, such as "cpu/AVX3_DL" or "cuda/0". The string lives as
  // long as the executor.
  virtual std::string_view backend() const = 0;

  // Starts the threads, which take batches until `batcher` is closed and empty.
  virtual void Start(batching::Batcher& batcher) = 0;

  // Blocks until the threads have ended. The batcher has been closed.
  virtual void Join() = 0;
};

}  // namespace lossd::execution

#endif  // LOSSD_SERVER_EXECUTION_EXECUTOR_H_
