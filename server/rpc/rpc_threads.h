// The threads that serve RPCs.
#ifndef LOSSD_SERVER_RPC_RPC_THREADS_H_
#define LOSSD_SERVER_RPC_RPC_THREADS_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <array>
#include <memory>
#include <thread>
#include <vector>

#include "server/door/health_service.h"
#include "server/door/queue_call.h"
#include "server/rpc/call_context.h"
#include "server/rpc/loss_service.h"

namespace lossd::rpc {

struct RpcThreadOptions {
  // Calls of each method that wait for an RPC on each queue. gRPC holds back an
  // RPC that arrives while none waits, until the next round.
  int listening_calls = 64;
  int listening_streams = 4;
  int listening_watches = 16;
  // Events that are handled before the batcher runs batches inline, so that
  // requests that arrive together are enqueued together.
  int max_events_at_once = 64;
  // Ended calls that are kept to be used again; more are freed.
  int max_spare_calls = 256;
  int max_spare_streams = 8;
  int max_spare_watches = 16;
};

// One completion queue and the thread that serves it. Not thread-safe; all but
// the public members runs on that thread.
class RpcThread {
 public:
  // Borrows `call_context`, `service` and `health`.
  RpcThread(const RpcThreadOptions& options, const CallContext* call_context,
            LossService* service, door::HealthService* health,
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
  void Retire(door::QueueCall* call);
  // Asks each call that serves an RPC whether its deadline has passed and its
  // client is still there, and does so again later.
  void Sweep();
  void ScheduleSweep();

  // The calls of one method.
  struct Method {
    std::unique_ptr<door::QueueCall> (RpcThread::*make)() const;
    int wanted;  // how many are to listen
    int max_spare;
    bool is_work;  // the RPCs of the method ask for computation
    int listening = 0;
    std::vector<std::unique_ptr<door::QueueCall>> spare;
  };
  template <typename Call>
  std::unique_ptr<door::QueueCall> Make() const;
  std::unique_ptr<door::QueueCall> MakeWatch() const;

  const RpcThreadOptions options_;
  const CallContext* const call_context_;
  LossService* const service_;
  door::HealthService* const health_;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;

  // Calls that listen or serve an RPC. gRPC holds their tags, which own them.
  int calls_ = 0;
  int working_ = 0;  // how many of them serve an RPC that is work
  std::array<Method, 4> methods_;
  std::vector<door::QueueCall*> serving_;  // an RPC each
  // Its tag has no call.
  grpc::Alarm sweep_alarm_;
  door::QueueCall::Tag sweep_tag_{nullptr, 0};
  bool enqueued_ = false;  // the batcher was given something in this round
  bool stopping_ = false;  // gRPC takes no more RPCs
  std::thread thread_;     // declared last: it uses all of the above
};

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_RPC_THREADS_H_
