// echo_server: the peer that lossd is measured against. It answers ComputeLoss
// with the first bytes of the request, in the slices they came in: everything
// that gRPC costs, and nothing else.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli/flag_parser.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "lossd/v1/loss_service.grpc.pb.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:0",
          "host:port (port 0: any), or unix:/path");
ABSL_FLAG(int, threads, 2, "one completion queue each");
ABSL_FLAG(int, calls, 64, "registered ahead on each completion queue");
ABSL_FLAG(int64_t, reply_bytes, 0,
          "answer with that many of the request's bytes; 0: with all");

namespace lossd::bench {
namespace {

// Every method asynchronous, so that no other threads poll, and ComputeLoss
// raw: the cheapest service that gRPC has.
using EchoService = v1::LossService::WithRawMethod_ComputeLoss<
    v1::LossService::WithAsyncMethod_StreamLoss<
        v1::LossService::WithAsyncMethod_GetServerInfo<
            v1::LossService::Service>>>;

// The first `size` bytes of `message`, sharing its memory.
grpc::ByteBuffer Prefix(const grpc::ByteBuffer& message, size_t size) {
  std::vector<grpc::Slice> slices;
  if (!message.Dump(&slices).ok()) return {};
  size_t used = 0;
  for (; used < slices.size() && size > 0; ++used) {
    if (slices[used].size() > size) {
      slices[used] = slices[used].sub(0, size);
    }
    size -= slices[used].size();
  }
  return grpc::ByteBuffer(slices.data(), used);
}

// One call at a time, again and again.
class EchoCall {
 public:
  EchoCall(EchoService& service, grpc::ServerCompletionQueue& queue,
           size_t reply_bytes)
      : service_(service), queue_(queue), reply_bytes_(reply_bytes) {
    Listen();
  }

  // The call's tag came out of the queue.
  void OnTag() {
    if (answering_) {
      Listen();
      return;
    }
    answering_ = true;
    if (reply_bytes_ > 0) request_ = Prefix(request_, reply_bytes_);
    responder_->Finish(request_, grpc::Status::OK, this);
  }

 private:
  void Listen() {
    answering_ = false;
    request_.Clear();
    responder_.reset();
    context_.emplace();
    responder_.emplace(&*context_);
    service_.RequestComputeLoss(&*context_, &request_, &*responder_, &queue_,
                                &queue_, this);
  }

  EchoService& service_;
  grpc::ServerCompletionQueue& queue_;
  const size_t reply_bytes_;
  bool answering_ = false;
  grpc::ByteBuffer request_;
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>> responder_;
};

void Serve(EchoService& service, grpc::ServerCompletionQueue& queue) {
  std::vector<std::unique_ptr<EchoCall>> calls;
  for (int i = 0; i < absl::GetFlag(FLAGS_calls); ++i) {
    calls.push_back(std::make_unique<EchoCall>(
        service, queue, static_cast<size_t>(absl::GetFlag(FLAGS_reply_bytes))));
  }
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<EchoCall*>(tag)->OnTag();
}

// Blocks SIGINT and SIGTERM in this and all later threads.
sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

int Run() {
  const sigset_t stop_signals = BlockStopSignals();
  EchoService service;
  grpc::ServerBuilder builder;
  int port = 0;
  const std::string listen = absl::GetFlag(FLAGS_listen);
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (int i = 0; i < absl::GetFlag(FLAGS_threads); ++i) {
    queues.push_back(builder.AddCompletionQueue());
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fputs("echo_server: cannot listen\n", stderr);
    return 1;
  }
  std::vector<std::thread> threads;
  for (const auto& queue : queues) {
    threads.emplace_back([&] { Serve(service, *queue); });
  }
  // A Unix socket has no port: its address is its path.
  const std::string address =
      absl::StartsWith(listen, "unix:")
          ? listen
          : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  std::printf("echo_server listening on %s\n", address.c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop_signals, &signal);
  // It holds nothing that would need an orderly end.
  std::_Exit(0);
}

}  // namespace
}  // namespace lossd::bench

int main(int argc, char** argv) {
  const auto words = lossd::cli::ParseFlags(
      std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1));
  if (!words.ok() || !words->empty()) {
    const std::string what =
        words.ok() ? words->front() : std::string(words.status().message());
    std::fputs(absl::StrCat("echo_server: ", what, "\n").c_str(), stderr);
    return 2;
  }
  return lossd::bench::Run();
}
