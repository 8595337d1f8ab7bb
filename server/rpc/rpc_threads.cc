#include "server/rpc/rpc_threads.h"

#include <algorithm>
#include <utility>

#include "base/grpc_time.h"
#include "server/door/health_watch.h"
#include "server/rpc/compute_loss_call.h"
#include "server/rpc/compute_losses_call.h"
#include "server/rpc/stream_loss_call.h"

namespace lossd::rpc {
namespace {

constexpr absl::Duration kLongestPause = absl::Seconds(1);  // between sweeps

}  // namespace

RpcThread::RpcThread(const RpcThreadOptions& options,
                     const CallContext* call_context, LossService* service,
                     door::HealthService* health,
                     std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : options_(options),
      call_context_(call_context),
      service_(service),
      health_(health),
      queue_(std::move(queue)),
      methods_{{{&RpcThread::Make<ComputeLossCall>, options.listening_calls,
                 options.max_spare_calls, /*is_work=*/true},
                {&RpcThread::Make<StreamLossCall>, options.listening_streams,
                 options.max_spare_streams, /*is_work=*/true},
                {&RpcThread::Make<ComputeLossesCall>, options.listening_streams,
                 options.max_spare_streams,
                 /*is_work=*/true},
                {&RpcThread::MakeWatch, options.listening_watches,
                 options.max_spare_watches, /*is_work=*/false}}} {}

template <typename Call>
std::unique_ptr<door::QueueCall> RpcThread::Make() const {
  return std::make_unique<Call>(call_context_, service_, queue_.get());
}

std::unique_ptr<door::QueueCall> RpcThread::MakeWatch() const {
  return std::make_unique<door::HealthWatch>(health_, queue_.get());
}

void RpcThread::Start() {
  thread_ = std::thread([this] { Run(); });
}

void RpcThread::Join() {
  if (thread_.joinable()) thread_.join();
}

RpcThread::~RpcThread() {
  Join();
  sweep_alarm_.Cancel();
  // gRPC demands that its queues are shut down after the server, and emptied.
  queue_->Shutdown();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
  }
}

void RpcThread::Run() {
  KeepListening();
  ScheduleSweep();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
    Handle(tag, ok);
    // Handles the other events that are ready, without waiting for more. Asking
    // costs a system call and shifts the polling between threads, which a lone
    // small request would feel. So a thread asks only if it has other calls
    // under way (D21).
    for (int i = 1; i < options_.max_events_at_once && working_ > 1; ++i) {
      const auto next =
          queue_->AsyncNext(&tag, &ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
      if (next != grpc::CompletionQueue::GOT_EVENT) break;
      Handle(tag, ok);
    }
    if (std::exchange(enqueued_, false)) {
      call_context_->batcher->RunInline(*call_context_->runner);
    }
    if (!stopping_) {
      KeepListening();
    } else if (calls_ == 0) {
      return;
    }
  }
}

void RpcThread::Handle(void* tag, bool ok) {
  const auto [call, event] = *static_cast<door::QueueCall::Tag*>(tag);
  if (call == nullptr) return Sweep();
  if (event == door::QueueCall::kRequest) {
    Method& method = methods_[call->method_index];
    --method.listening;
    if (!ok) {  // the server is shutting down
      stopping_ = true;
      --calls_;
      delete call;
      return;
    }
    if (method.is_work) ++working_;
    call->serving_index = serving_.size();
    serving_.push_back(call);
  }
  enqueued_ |= call->OnEvent(event, ok);
  if (call->ended()) Retire(call);
}

void RpcThread::Retire(door::QueueCall* call) {
  std::unique_ptr<door::QueueCall> owned(call);
  serving_.back()->serving_index = call->serving_index;
  serving_[call->serving_index] = serving_.back();
  serving_.pop_back();
  owned->Reset();
  --calls_;
  Method& method = methods_[call->method_index];
  if (method.is_work) --working_;
  if (method.spare.size() < static_cast<size_t>(method.max_spare)) {
    method.spare.push_back(std::move(owned));
  }
}

void RpcThread::Sweep() {
  for (door::QueueCall* call : serving_) call->OnSweep();
  if (!stopping_) ScheduleSweep();
}

void RpcThread::ScheduleSweep() {
  const absl::Duration pause =
      std::min(call_context_->stream_idle_limit / 4, kLongestPause);
  sweep_alarm_.Set(queue_.get(), GrpcTimeAfter(pause), &sweep_tag_);
}

void RpcThread::KeepListening() {
  for (size_t i = 0; i < methods_.size(); ++i) {
    Method& method = methods_[i];
    for (; method.listening < method.wanted; ++method.listening, ++calls_) {
      std::unique_ptr<door::QueueCall> call;
      if (method.spare.empty()) {
        call = (this->*method.make)();
        call->method_index = i;
      } else {
        call = std::move(method.spare.back());
        method.spare.pop_back();
      }
      call.release()->Listen();  // its tags bring it back
    }
  }
}

}  // namespace lossd::rpc
