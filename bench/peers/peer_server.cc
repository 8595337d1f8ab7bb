#include "bench/peers/peer_server.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/flag_parser.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

ABSL_FLAG(std::string, listen, "127.0.0.1:0",
          "host:port (port 0: any), or unix:/path");
ABSL_FLAG(int64_t, threads, 2, "one completion queue each");
ABSL_FLAG(int64_t, calls, 64, "registered ahead on each completion queue");

namespace lossd::bench {
namespace {

void Serve(grpc::ServerCompletionQueue& queue, const MakePeerCall& make_call) {
  std::vector<std::unique_ptr<PeerCall>> calls;
  for (int64_t i = 0; i < absl::GetFlag(FLAGS_calls); ++i) {
    calls.push_back(make_call(queue));
  }
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<PeerCall*>(tag)->OnTag();
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

int Run(const std::string& name, grpc::Service& service,
        const MakePeerCall& make_call) {
  const sigset_t stop_signals = BlockStopSignals();
  grpc::ServerBuilder builder;
  int port = 0;
  const std::string listen = absl::GetFlag(FLAGS_listen);
  builder.AddListeningPort(listen, grpc::InsecureServerCredentials(), &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (int64_t i = 0; i < absl::GetFlag(FLAGS_threads); ++i) {
    queues.push_back(builder.AddCompletionQueue());
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fputs(absl::StrCat(name, ": cannot listen\n").c_str(), stderr);
    return 1;
  }
  std::vector<std::thread> threads;
  for (const auto& queue : queues) {
    threads.emplace_back([&] { Serve(*queue, make_call); });
  }
  // A Unix socket has no port: its address is its path.
  const std::string address =
      absl::StartsWith(listen, "unix:")
          ? listen
          : absl::StrCat(listen.substr(0, listen.rfind(':')), ":", port);
  std::printf("%s listening on %s\n", name.c_str(), address.c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop_signals, &signal);
  // It holds nothing that would need an orderly end.
  std::_Exit(0);
}

}  // namespace

int RunPeer(int argc, char** argv, const std::string& name,
            grpc::Service& service, const MakePeerCall& make_call) {
  const auto words = lossd::ParseFlags(
      std::span<const char* const>(argv, static_cast<size_t>(argc)).subspan(1));
  const absl::Status ranges =
      lossd::CheckRanges({{"threads", absl::GetFlag(FLAGS_threads), 1, 1024},
                          {"calls", absl::GetFlag(FLAGS_calls), 1, 65536}});
  const std::string wrong =
      !words.ok()       ? std::string(words.status().message())
      : !words->empty() ? absl::StrCat("\"", words->front(), "\" is no flag")
                        : std::string(ranges.message());
  if (!wrong.empty()) {
    std::fputs(absl::StrCat(name, ": ", wrong, "\n").c_str(), stderr);
    return 2;
  }
  return Run(name, service, make_call);
}

}  // namespace lossd::bench
