#include "server/rpc/rpc_threads.h"

#include <utility>

namespace lossd::rpc {

RpcThread::RpcThread(const RpcThreadOptions& options, const Services* services,
                     LossService* service,
                     std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : options_(options),
      services_(services),
      service_(service),
      queue_(std::move(queue)) {}

void RpcThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

void RpcThread::Join() {
  if (thread_.joinable()) thread_.join();
}

RpcThread::~RpcThread() {
  Join();
  // gRPC wants its queues shut down after the server, and empty.
  queue_->Shutdown();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
  }
}

void RpcThread::Run() {
  KeepListening();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
    Handle(tag, ok);
    // What else is ready, without waiting for it. Asking costs a system call
    // and shifts the polling between threads, a quarter of a lone small
    // request: so only those ask that have other calls under way.
    for (int i = 1; i < options_.max_events_at_once && calls_ - listening_ > 1;
         ++i) {
      const auto next =
          queue_->AsyncNext(&tag, &ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
      if (next != grpc::CompletionQueue::GOT_EVENT) break;
      Handle(tag, ok);
    }
    if (std::exchange(enqueued_, false)) {
      services_->batcher->RunInline(*services_->runner);
    }
    if (!stopping_) {
      KeepListening();
    } else if (calls_ == 0) {
      return;
    }
  }
}

void RpcThread::Handle(void* tag, bool ok) {
  const auto [call, event] = *static_cast<ComputeLossCall::Tag*>(tag);
  switch (event) {
    case ComputeLossCall::Event::kRequest:
      --listening_;
      if (!ok) {  // the server is shutting down
        stopping_ = true;
        --calls_;
        delete call;
        return;
      }
      enqueued_ |= call->Start();
      break;
    case ComputeLossCall::Event::kFinished:
      call->OnFinished(ok);
      break;
    case ComputeLossCall::Event::kDone:
      call->OnDone();
      break;
  }
  if (call->ended()) Retire(call);
}

void RpcThread::Retire(ComputeLossCall* call) {
  std::unique_ptr<ComputeLossCall> owned(call);
  owned->Reset();
  --calls_;
  if (spare_.size() < static_cast<size_t>(options_.max_spare_calls)) {
    spare_.push_back(std::move(owned));
  }
}

void RpcThread::KeepListening() {
  for (; listening_ < options_.listening_calls; ++listening_, ++calls_) {
    std::unique_ptr<ComputeLossCall> call;
    if (spare_.empty()) {
      call =
          std::make_unique<ComputeLossCall>(services_, service_, queue_.get());
    } else {
      call = std::move(spare_.back());
      spare_.pop_back();
    }
    call.release()->Listen();  // its tags bring it back
  }
}

}  // namespace lossd::rpc
