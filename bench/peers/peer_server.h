// What the servers that lossd is measured against have in common: an
// asynchronous gRPC server with a thread and a completion queue each, and no
// more threads that poll.
#ifndef LOSSD_BENCH_PEERS_PEER_SERVER_H_
#define LOSSD_BENCH_PEERS_PEER_SERVER_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "grpcpp/completion_queue.h"
#include "grpcpp/impl/service_type.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/async_unary_call.h"

namespace lossd::bench {

// What a completion queue's tags point to.
class PeerCall {
 public:
  virtual ~PeerCall() = default;

  // Its tag came out of the queue.
  virtual void OnTag() = 0;
};

// One ComputeLoss at a time, again and again, in the same messages, whose
// memory is used again too. `Service` is the generated one.
template <typename Service, typename Request, typename Reply>
class ComputeLossPeerCall : public PeerCall {
 public:
  ComputeLossPeerCall(Service& service, grpc::ServerCompletionQueue& queue)
      : service_(service), queue_(queue) {
    Listen();
  }

  void OnTag() final {
    if (answering_) {
      Listen();
      return;
    }
    answering_ = true;
    responder_->Finish(Answer(request_), grpc::Status::OK, Tag());
  }

 private:
  // The reply must last until the next call.
  virtual const Reply& Answer(Request& request) = 0;

  void Listen() {
    answering_ = false;
    request_.Clear();
    responder_.reset();
    context_.emplace();
    responder_.emplace(&*context_);
    service_.RequestComputeLoss(&*context_, &request_, &*responder_, &queue_,
                                &queue_, Tag());
  }

  void* Tag() { return static_cast<PeerCall*>(this); }

  Service& service_;
  grpc::ServerCompletionQueue& queue_;
  bool answering_ = false;
  Request request_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<Reply>> responder_;
};

using MakePeerCall =
    std::function<std::unique_ptr<PeerCall>(grpc::ServerCompletionQueue&)>;

// A peer's main(): reads the flags, serves `service` by calls that `make_call`
// makes, says where in one line, and ends the process on SIGTERM or SIGINT.
// Returns the exit code if that is not possible.
int RunPeer(int argc, char** argv, const std::string& name,
            grpc::Service& service, const MakePeerCall& make_call);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_PEERS_PEER_SERVER_H_
