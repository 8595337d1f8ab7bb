// The common part of the servers that lossd is measured against: an
// asynchronous gRPC server whose only threads that poll are its own, each with
// a completion queue.
#ifndef LOSSD_BENCH_PEERS_PEER_SERVER_H_
#define LOSSD_BENCH_PEERS_PEER_SERVER_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/flag_table.h"

namespace lossd::bench {

// A call that a completion queue's tags point to. One thread uses it.
class PeerCall {
 public:
  virtual ~PeerCall() = default;

  // Goes on with the call after its tag came out of the queue.
  virtual void OnTag() = 0;
};

// Serves one ComputeLoss after another. Request and reply are the same messages
// each time, so that their memory is reused. `Service` is the generated one.
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
  // Returns the reply, which must last until the next call.
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

// Runs a peer: reads the flags in `arguments` (argv without the program), which
// are the common ones and `own_flags`, serves `service` by calls that
// `make_call` makes, prints one line with its address, and ends the process on
// SIGTERM or SIGINT. Returns the exit code where it does not serve: 0 for
// --help, 1 if the address cannot be bound, 2 for bad flags.
int RunPeer(const std::vector<std::string>& arguments, const std::string& name,
            const std::vector<Flag>& own_flags, grpc::Service& service,
            const MakePeerCall& make_call);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_PEERS_PEER_SERVER_H_
