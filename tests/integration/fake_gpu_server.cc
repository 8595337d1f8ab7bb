// This program is lossd on fake GPUs, for tests whose clients are other
// processes. It takes lossd's flags and --fake_gpus=N (default 1). A client
// lends it "GPU memory" as POSIX shared memory whose name begins with
// /lossd_test_; the name padded with zeros is the IPC handle. The UUID of GPU k
// is the 16 bytes "lossd fake gpu k". It exits with code 1 if a GPU resource
// was not given back.
#include <pthread.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/flags.h"
#include "server/observability/log.h"
#include "server/server.h"
#include "tests/server/execution/cuda/fake_device.h"

namespace lossd {
namespace {

using execution::cuda::Device;
using execution::cuda::DeviceTraces;
using execution::cuda::FakeDevice;

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "fake_gpu_server: %s\n",
               std::string(status.message()).c_str());
  return 2;
}

// Removes --fake_gpus from the arguments and returns its value, or 1.
int TakeGpus(std::vector<std::string>* arguments) {
  int gpus = 1;
  std::erase_if(*arguments, [&gpus](const std::string& argument) {
    absl::string_view value = argument;
    return absl::ConsumePrefix(&value, "--fake_gpus=") &&
           absl::SimpleAtoi(value, &gpus);
  });
  return gpus;
}

int Serve(const Config& config, int gpus, DeviceTraces* traces) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  auto server = Server::Create(config, [&](std::span<const int>) {
    std::vector<std::unique_ptr<Device>> devices;
    for (int k = 0; k < gpus; ++k) {
      devices.push_back(
          std::make_unique<FakeDevice>(traces, absl::StrCat("cuda/", k)));
    }
    return devices;
  });
  if (!server.ok()) return Fail(server.status());
  std::printf("lossd listening on %s metrics on %s\n",
              (*server)->address().c_str(),
              (*server)->metrics_address().c_str());
  std::fflush(stdout);
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  (*server)->Shutdown(config.drain_timeout);
  server->reset();
  std::fprintf(stderr, "fake_gpu_server: %d misuses, %d not given back\n",
               traces->misuses.load(), traces->live.load());
  return traces->misuses == 0 && traces->live == 0 ? EXIT_SUCCESS
                                                   : EXIT_FAILURE;
}

}  // namespace
}  // namespace lossd

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  const int gpus = lossd::TakeGpus(&arguments);
  const auto line = lossd::ReadCommandLine(
      arguments, [](const char* name) { return getenv(name); });
  if (!line.ok()) return lossd::Fail(line.status());
  const absl::Status log = lossd::observability::StartLog(
      line->config.log_level, line->config.log_format);
  if (!log.ok()) return lossd::Fail(log);
  lossd::execution::cuda::DeviceTraces traces;
  return lossd::Serve(line->config, gpus, &traces);
}
