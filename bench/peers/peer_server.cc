#include "bench/peers/peer_server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/flag_parser.h"

namespace lossd::bench {
namespace {

struct Flags {
  std::string listen = "127.0.0.1:0";
  int64_t threads = 2;
  int64_t calls = 64;
  bool help = false;
};

FlagTable TableOf(Flags& flags, const std::vector<Flag>& own) {
  FlagGroup group = {
      "Flags",
      {{"listen", AnyValue(&flags.listen),
        "HOST:PORT on which gRPC is served (port 0 takes any free port), or "
        "unix:/path"},
       {"threads", InRange(&flags.threads, 1, 1024),
        "threads that serve, each with a completion queue"},
       {"calls", InRange(&flags.calls, 1, 65536),
        "calls that wait for requests on each completion queue"}}};
  group.flags.insert(group.flags.end(), own.begin(), own.end());
  group.flags.push_back({"help", AnyValue(&flags.help), "print this and exit"});
  return {group};
}

void Serve(grpc::ServerCompletionQueue& queue, int64_t call_count,
           const MakePeerCall& make_call) {
  std::vector<std::unique_ptr<PeerCall>> calls;
  for (int64_t i = 0; i < call_count; ++i) {
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

// Returns the address as clients write it, with the port that was bound.
std::string BoundAddress(const std::string& listen, int port) {
  std::optional<Address> address = ParseAddress(listen);
  if (!address.has_value()) return listen;  // a Unix socket has no port
  address->port = port;
  return address->text();
}

int Run(const Flags& flags, const std::string& name, grpc::Service& service,
        const MakePeerCall& make_call) {
  const sigset_t stop_signals = BlockStopSignals();
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(flags.listen, grpc::InsecureServerCredentials(),
                           &port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterService(&service);
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues;
  for (int64_t i = 0; i < flags.threads; ++i) {
    queues.push_back(builder.AddCompletionQueue());
  }
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fputs(absl::StrCat(name, ": cannot listen\n").c_str(), stderr);
    return 1;
  }
  std::vector<std::thread> threads;
  threads.reserve(queues.size());
  for (const auto& queue : queues) {
    threads.emplace_back([&] { Serve(*queue, flags.calls, make_call); });
  }
  std::printf("%s listening on %s\n", name.c_str(),
              BoundAddress(flags.listen, port).c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&stop_signals, &signal);
  // Nothing here needs an orderly end.
  std::_Exit(0);
}

}  // namespace

int RunPeer(const std::vector<std::string>& arguments, const std::string& name,
            const std::vector<Flag>& own_flags, grpc::Service& service,
            const MakePeerCall& make_call) {
  Flags flags;
  const FlagTable table = TableOf(flags, own_flags);
  absl::Status status = ParseFlagsOnly(table, arguments);
  if (flags.help && status.ok()) {
    std::fputs(DescribeFlags(table).c_str(), stdout);
    return 0;
  }
  if (status.ok()) status = CheckValues(table);
  if (!status.ok()) {
    std::fputs(absl::StrCat(name, ": ", status.message(), "\n").c_str(),
               stderr);
    return 2;
  }
  return Run(flags, name, service, make_call);
}

}  // namespace lossd::bench
