// The threads that serve RPCs.
#ifndef LOSSD_SERVER_RPC_RPC_THREADS_H_
#define LOSSD_SERVER_RPC_RPC_THREADS_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "server/rpc/call_context.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_call.h"

namespace lossd::rpc {

struct RpcThreadOptions {
  // Calls of each method that wait for an RPC on each queue. gRPC holds back an
  // RPC that arrives while none waits, until the next round.
  int listening_calls = 64;
  int listening_streams = 4;
  // Events that are handled before the batcher runs batches inline, so that
  // requests that arrive together are enqueued together.
  int max_events_at_once = 64;
  // Ended calls that are kept to be used again; more are freed.
  int max_spare_calls = 256;
  int max_spare_streams = 8;
};

// One completion queue and the thread that serves it. Not thread-safe; all but
// the public members runs on that thread.
class RpcThread {
 public:
  // Borrows `call_context` and `service`.
  RpcThread(const RpcThreadOptions& options, const CallContext* call_context,
            LossService* service,
            std::unique_ptr<grpc::ServerCompletionQueue> queue);

  // Joins. By then the grpc::Server has been shut down, or was never built.
  ~RpcThread();

  // Starts the thread. The grpc::Server is running.
  void Start();

  // Waits until every call has ended, after grpc::Server::Shutdown().
  void Join();

 private:
  void Run();
  void Handle(void* tag, bool ok);
  void KeepListening();
  void Retire(RpcCall* call);

  // The calls of one method.
  struct Method {
    std::unique_ptr<RpcCall> (RpcThread::*make)() const;
    int wanted;  // how many are to listen
    int max_spare;
    int listening = 0;
    std::vector<std::unique_ptr<RpcCall>> spare;
  };
  template <typename Call>
  std::unique_ptr<RpcCall> Make() const;

  const RpcThreadOptions options_;
  const CallContext* const call_context_;
  LossService* const service_;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;

  // Calls that listen or serve an RPC. gRPC holds their tags, which own them.
  int calls_ = 0;
  int listening_ = 0;  // how many of them listen
  std::array<Method, 2> methods_;
  bool enqueued_ = false;  // the batcher was given something in this round
  bool stopping_ = false;  // gRPC takes no more RPCs
  std::thread thread_;     // declared last: it uses all of the above
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_RPC_THREADS_H_
