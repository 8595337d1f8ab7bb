// lossd: flags, log, server, signals.
#include <google/protobuf/stubs/logging.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "server/door/descriptor_limit.h"
#include "server/door/grpc_log.h"
#include "server/door/handed_over.h"
#include "server/environment.h"
#include "server/execution/cuda/device.h"
#include "server/flags.h"
#include "server/machine/memory.h"
#include "server/memory_plan.h"
#include "server/observability/log.h"
#include "server/server.h"
#include "server/signals.h"

namespace {

constexpr int kExitFailed = 1;  // the server could not start or drain
constexpr int kExitUsage = 2;   // the flags make no sense

int Fail(int code, const absl::Status& status) {
  std::fprintf(stderr, "lossd: %s\n", std::string(status.message()).c_str());
  return code;
}

// gRPC and protobuf have logs of their own; a client could fill them with
// garbage.
void JoinLibraryLogs() {
  lossd::door::JoinGrpcLog();
  google::protobuf::SetLogHandler(nullptr);
}

// Distributions build Abseil with its search for lock cycles, which takes a
// lock of the whole process for each lock that gRPC or we take. It finds
// defects in tests; a server pays an eighth of its time for small requests for
// it.
void LeaveLockOrderToTests() {  // D22
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

// gRPC allocates a tensor in pieces of 64 KiB and frees them with the request.
// glibc would give each free end of its heap back to the system at once, and
// take it page by page for the next request: a sixth of the time of a million
// elements. Where memory is scarce, one heap serves all threads: what one
// thread has freed would else stay in its heap while another's grows.
void SetUpHeap() {  // D22, D51
  const int64_t usable = lossd::machine::UsableMemory().bytes;
  mallopt(M_TRIM_THRESHOLD, static_cast<int>(lossd::KeptHeapBytes(usable)));
  constexpr int64_t kScarce = int64_t{2} << 30;
  if (usable < kScarce) mallopt(M_ARENA_MAX, 1);
}

// Stacks of 8 MiB are mostly addresses, but RLIMIT_AS and RLIMIT_DATA count
// them.
void SetUpStacks() {
  constexpr size_t kStackBytes = size_t{2} << 20;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

void WarnOfUnknownVariables() {
  for (const std::string& name :
       lossd::UnknownVariables(lossd::VariableNames())) {
    lossd::observability::LogWarning("no flag has this variable",
                                     {{"variable", name}});
  }
}

int Serve(const lossd::Config& config) {
  const lossd::Signals signals;
  lossd::door::RaiseDescriptorLimit();
  auto handed_over = lossd::door::TakeHandedOverSockets();
  if (!handed_over.ok()) return Fail(kExitUsage, handed_over.status());
  auto server = lossd::Server::Create(
      config, &lossd::execution::cuda::OpenDevices, *std::move(handed_over));
  if (!server.ok()) {
    const bool usage = absl::IsInvalidArgument(server.status());
    return Fail(usage ? kExitUsage : kExitFailed, server.status());
  }
  std::printf("lossd listening on %s metrics on %s\n",
              (*server)->address().c_str(),
              (*server)->metrics_address().c_str());
  std::fflush(stdout);
  lossd::observability::LogInfo("serving", (*server)->facts());
  WarnOfUnknownVariables();

  const int first = signals.WaitForDrain([&server] { (*server)->Reload(); });
  lossd::observability::LogInfo("draining",
                                {{"signal", lossd::SignalName(first)}});
  // A second one does not wait for the drain.
  std::thread([&signals] {
    _exit(128 + signals.WaitForDrain(nullptr));
  }).detach();
  (*server)->AnnounceDrain();
  absl::SleepFor(config.drain_delay);
  const bool drained = (*server)->Shutdown(config.drain_timeout);
  lossd::observability::LogInfo(drained ? "drained"
                                        : "the drain ran out of time");
  // The detached thread still reads `signals` on this stack, so the process
  // ends here without returning.
  server->reset();
  std::fflush(nullptr);
  _exit(drained ? EXIT_SUCCESS : kExitFailed);
}

}  // namespace

int main(int argc, char** argv) {
  const auto line = lossd::ReadCommandLine(
      {argv + 1, argv + argc}, [](const char* name) { return getenv(name); });
  if (!line.ok()) return Fail(kExitUsage, line.status());
  if (line->print.has_value()) {
    std::fputs(line->print->c_str(), stdout);
    return EXIT_SUCCESS;
  }
  const absl::Status log = lossd::observability::StartLog(
      line->config.log_level, line->config.log_format);
  if (!log.ok()) {
    return Fail(kExitUsage, absl::InvalidArgumentError(absl::StrCat(
                                "--log_level=", line->config.log_level, ": ",
                                log.message())));
  }
  LeaveLockOrderToTests();
  SetUpHeap();
  SetUpStacks();
  JoinLibraryLogs();
  return Serve(line->config);
}
