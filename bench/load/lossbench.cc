// lossbench: puts load on a lossd server, or on a peer, and measures.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/completion/script.h"
#include "base/flag_parser.h"
#include "bench/load/channels.h"
#include "bench/load/exchange.h"
#include "bench/load/flags.h"
#include "bench/load/load.h"
#include "bench/load/report.h"
#include "bench/load/sample_request.h"
#include "bench/load/session_load.h"
#include "bench/load/shared_sample.h"
#include "bench/load/stream_load.h"
#include "client/cpp/tensor/cuda_driver.h"

namespace lossd::bench {
namespace {

constexpr char kUsage[] =
    "lossbench: puts load on a lossd server, or on a peer, and measures.\n"
    "\n";

int Usage(const absl::Status& status) {
  std::fputs(absl::StrCat("lossbench: ", status.message(), "\n").c_str(),
             stderr);
  return 2;
}

int Failed(const absl::Status& status) {
  std::fputs(
      absl::StrCat("lossbench: ", absl::StatusCodeToString(status.code()), ": ",
                   status.message(), "\n")
          .c_str(),
      stderr);
  return 1;
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Returns the options of a load without its messages.
LoadOptions LoadOptionsOf(const Flags& flags) {
  return {
      .channels = OpenChannels(flags.target, static_cast<int>(flags.channels)),
      .threads = static_cast<int>(flags.threads),
      .concurrency = static_cast<int>(flags.concurrency),
      .rate = flags.rate,
      .duration = flags.duration,
      .requests = flags.requests,
      .timeout = flags.timeout,
      .traceparent = flags.traceparent,
      .job = flags.job,
      .seed = flags.sample.seed};
}

std::vector<grpc::ByteBuffer> MessagesOf(
    const Exchange& exchange, const std::vector<SharedSample>& shared) {
  std::vector<grpc::ByteBuffer> messages;
  messages.reserve(shared.size());
  for (const SharedSample& place : shared) {
    messages.push_back(BufferOf(place.request().SerializeAsString()));
  }
  if (shared.empty()) messages.push_back(BufferOf(exchange.request));
  return messages;
}

// Returns the driver with --device_memory, else null.
absl::StatusOr<std::unique_ptr<client::CudaDriver>> OpenDriver(
    const Flags& flags) {
  if (!flags.device_memory) return std::unique_ptr<client::CudaDriver>();
  return client::CudaDriver::Open();
}

// Returns a sample for each call in flight with --shared_memory, else none.
absl::StatusOr<std::vector<SharedSample>> ShareSample(
    const Flags& flags, const client::CudaDriver* driver,
    const v1::ComputeLossRequest& sample) {
  std::vector<SharedSample> shared;
  if (flags.shared_memory.empty()) return shared;
  auto memory = client::SharedMemory::Connect(flags.shared_memory);
  if (!memory.ok()) return memory.status();
  for (int64_t i = 0; i < flags.concurrency; ++i) {
    auto made = SharedSample::Make(**memory, driver, sample);
    if (!made.ok()) return made.status();
    shared.push_back(*std::move(made));
  }
  return shared;
}

// Prints the report and returns the program's exit code.
int Finish(const Flags& flags, const LoadReport& report,
           const ReportScale& scale) {
  const std::string text =
      flags.json ? ReportJson(report, scale) : ReportTable(report, scale);
  std::fputs(text.c_str(), stdout);
  return report.succeeded > 0 ? 0 : 1;
}

// Makes one call and checks its reply, before any is timed.
absl::Status CheckReply(const Exchange& exchange,
                        const std::vector<SharedSample>& shared,
                        const LoadOptions& options) {
  absl::StatusOr<std::string> reply = CallOnce(options);
  if (reply.ok() && !shared.empty()) {
    reply = shared.front().WithGradient(*reply);
  }
  return reply.ok() ? exchange.check(*reply) : reply.status();
}

// Runs the load twice, for --warmup and for --duration, and returns the report
// of the second.
template <typename Run>
LoadReport WarmUpAndMeasure(const Flags& flags, const LoadOptions& options,
                            Run run) {
  if (flags.warmup > absl::ZeroDuration()) {
    LoadOptions warmup = options;
    warmup.duration = flags.warmup;
    run(warmup);
  }
  return run(options);
}

std::vector<v1::ComputeLossRequest> RequestsOf(
    const v1::ComputeLossRequest& sample,
    const std::vector<SharedSample>& shared) {
  if (shared.empty()) return {sample};
  std::vector<v1::ComputeLossRequest> requests;
  requests.reserve(shared.size());
  for (const SharedSample& place : shared) requests.push_back(place.request());
  return requests;
}

int MeasureSessions(const Flags& flags, const LoadOptions& options,
                    const std::vector<v1::ComputeLossRequest>& requests,
                    const ReportScale& scale) {
  absl::Status failure;
  const LoadReport report =
      WarmUpAndMeasure(flags, options, [&](const LoadOptions& load) {
        absl::StatusOr<LoadReport> measured = RunSessionLoad(
            load, flags.target, static_cast<int>(flags.channels), requests);
        failure.Update(measured.status());
        return measured.ok() ? *std::move(measured) : LoadReport();
      });
  return failure.ok() ? Finish(flags, report, scale) : Failed(failure);
}

int MeasureCalls(const Flags& flags) {
  const auto sample = MakeSample(flags.sample);
  if (!sample.ok()) return Usage(sample.status());
  const auto exchange = ExchangeWith(flags.peer, *sample);
  if (!exchange.ok()) return Usage(exchange.status());
  const auto driver = OpenDriver(flags);
  if (!driver.ok()) return Failed(driver.status());
  const auto shared = ShareSample(flags, driver->get(), *sample);
  if (!shared.ok()) return Failed(shared.status());
  LoadOptions options = LoadOptionsOf(flags);
  if (flags.session) {  // Sessions open their own: this is for CheckReply().
    auto any_server = OpenClientChannel(flags.target);
    if (!any_server.ok()) return Failed(any_server.status());
    options.channels = *std::move(any_server);
  }
  options.method = exchange->method;
  options.messages = MessagesOf(*exchange, *shared);
  if (absl::Status status = CheckReply(*exchange, *shared, options);
      !status.ok()) {
    return Failed(status);
  }
  const ReportScale scale = {
      .elements = flags.sample.elements,
      .request_bytes = static_cast<int64_t>(options.messages.front().Length())};
  if (flags.session) {
    return MeasureSessions(flags, options, RequestsOf(*sample, *shared), scale);
  }
  return Finish(flags, WarmUpAndMeasure(flags, options, &RunLoad), scale);
}

// Measures streams. A wrong answer is an error in the report.
int MeasureStreams(const Flags& flags) {
  const absl::StatusOr<StreamMessages> messages = MakeStream(flags.sample);
  if (!messages.ok()) return Usage(messages.status());
  const LoadReport report = WarmUpAndMeasure(
      flags, LoadOptionsOf(flags), [&](const LoadOptions& options) {
        return RunStreamLoad(options, *messages);
      });
  return Finish(flags, report,
                {.elements = messages->elements,
                 .request_bytes = messages->request_bytes});
}

int PrintCompletion(const std::string& shell, const FlagTable& table) {
  const absl::StatusOr<std::string> script = completion::Script(
      shell, {.name = "lossbench", .flags = table, .commands = {}});
  if (!script.ok()) return Usage(script.status());
  std::fputs(script->c_str(), stdout);
  return 0;
}

int Run(const std::vector<std::string>& arguments) {
  Flags flags;
  const FlagTable table = TableOf(flags);
  if (absl::Status s = ParseFlagsOnly(table, arguments); !s.ok()) {
    return Usage(s);
  }
  if (flags.help) {
    std::fputs(absl::StrCat(kUsage, DescribeFlags(table)).c_str(), stdout);
    return 0;
  }
  if (!flags.shell.empty()) return PrintCompletion(flags.shell, table);
  if (absl::Status s = CheckValues(table); !s.ok()) return Usage(s);
  if (absl::Status s = CheckTogether(flags); !s.ok()) return Usage(s);
  return flags.stream ? MeasureStreams(flags) : MeasureCalls(flags);
}

}  // namespace
}  // namespace lossd::bench

int main(int argc, char** argv) {
  // An error is one line of ours; setting this variable adds gRPC's own log.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  // Debian's Abseil looks for lock cycles in every build. With a load of many
  // calls that is a tenth of this program's time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return lossd::bench::Run({argv + std::min(argc, 1), argv + argc});
}
