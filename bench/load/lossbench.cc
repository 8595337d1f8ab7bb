// lossbench: puts load on a lossd server, or on a peer, and measures.
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/flag_parser.h"
#include "bench/load/exchange.h"
#include "bench/load/load.h"
#include "bench/load/report.h"
#include "bench/load/sample_request.h"
#include "bench/load/shared_sample.h"
#include "bench/load/stream_load.h"
#include "client/cpp/cuda_driver.h"
#include "grpcpp/create_channel.h"

ABSL_FLAG(std::string, target, "localhost:50051",
          "the server: host:port, or unix:/path");
ABSL_FLAG(int64_t, elements, 64, "of one request");
ABSL_FLAG(std::string, dtype, "float32",
          "of the logits: float32, float64, bfloat16 or float16");
ABSL_FLAG(std::string, targets_dtype, "float32",
          "one of those, uint8, bool or bit");
ABSL_FLAG(std::string, gradient_dtype, "",
          "as --dtype; the default is the logits'");
ABSL_FLAG(int64_t, concurrency, 1,
          "calls in flight; with --rate the most there may be");
ABSL_FLAG(double, rate, 0,
          "open loop: Poisson arrivals per second; 0: closed loop");
ABSL_FLAG(int64_t, channels, 1, "connections");
ABSL_FLAG(int64_t, threads, 1, "client threads, one completion queue each");
ABSL_FLAG(absl::Duration, duration, absl::Seconds(5), "how long to measure");
ABSL_FLAG(int64_t, requests, 0, "stop after this many; 0: any number");
ABSL_FLAG(absl::Duration, warmup, absl::Seconds(1), "how long to run before");
ABSL_FLAG(absl::Duration, timeout, absl::Seconds(30), "of one call");
ABSL_FLAG(uint64_t, seed, 1, "of data and arrivals");
ABSL_FLAG(std::string, peer, "",
          "the target is not lossd but echo (echo_server: the reply is the "
          "request's beginning), protobuf_echo (protobuf_echo_server: the "
          "gradient is the logits) or triton (the model of triton_model/)");
ABSL_FLAG(bool, stream, false,
          "each request is a StreamLoss, whose chunks are the same bytes over "
          "and over: --elements may be more than memory holds");
ABSL_FLAG(std::string, shared_memory, "",
          "the server's --shared_memory_socket: tensors and gradients lie in "
          "shared memory, a region for each call in flight");
ABSL_FLAG(bool, device_memory, false,
          "with --shared_memory: they lie in memory of GPU 0, lent to the "
          "server");
ABSL_FLAG(bool, json, false, "print JSON instead of a table");
ABSL_FLAG(bool, help, false, "print this and exit");

namespace lossd::bench {
namespace {

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

// A message of float64 logits and targets, 1 GiB: protobuf counts to twice
// that.
constexpr int64_t kMaxElements = int64_t{1} << 26;
constexpr int64_t kMaxStreamElements = int64_t{1} << 40;
// More than a machine runs at once, and fewer than it can make.
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxChannels = 1024;
constexpr int64_t kMaxConcurrency = int64_t{1} << 16;

absl::Status CheckDuration(const absl::Flag<absl::Duration>& flag,
                           absl::string_view name, absl::Duration least) {
  const absl::Duration value = absl::GetFlag(flag);
  if (value >= least && value <= absl::Hours(24)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, "=", absl::FormatDuration(value),
                   ": must be in [", absl::FormatDuration(least), ", 24h]"));
}

// Values that parse, and make no sense or ask for more memory than there is.
absl::Status CheckFlags() {
  const bool stream = absl::GetFlag(FLAGS_stream);
  const double rate = absl::GetFlag(FLAGS_rate);
  constexpr absl::Duration kShortest = absl::Milliseconds(1);
  for (const absl::Status& status :
       {CheckRanges(
            {{"elements", absl::GetFlag(FLAGS_elements), 1,
              stream ? kMaxStreamElements : kMaxElements},
             // Streams have a thread each.
             {"concurrency", absl::GetFlag(FLAGS_concurrency), 1,
              stream ? kMaxThreads : kMaxConcurrency},
             {"channels", absl::GetFlag(FLAGS_channels), 1, kMaxChannels},
             {"threads", absl::GetFlag(FLAGS_threads), 1, kMaxThreads},
             {"requests", absl::GetFlag(FLAGS_requests), 0,
              std::numeric_limits<int64_t>::max()}}),
        CheckDuration(FLAGS_duration, "duration", kShortest),
        CheckDuration(FLAGS_warmup, "warmup", absl::ZeroDuration()),
        CheckDuration(FLAGS_timeout, "timeout", kShortest)}) {
    if (!status.ok()) return status;
  }
  if (!(rate >= 0 && rate <= 1e7)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rate=", rate, ": must be in [0, 1e7]"));
  }
  if (!absl::GetFlag(FLAGS_peer).empty() &&
      !absl::GetFlag(FLAGS_shared_memory).empty()) {
    return absl::InvalidArgumentError("--peer: not with --shared_memory");
  }
  if (absl::GetFlag(FLAGS_device_memory) &&
      absl::GetFlag(FLAGS_shared_memory).empty()) {
    return absl::InvalidArgumentError(
        "--device_memory: only with --shared_memory");
  }
  return absl::OkStatus();
}

// Alike for lossd and for its peer.
std::vector<std::shared_ptr<grpc::Channel>> OpenChannels() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A connection for each channel.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int64_t i = 0; i < absl::GetFlag(FLAGS_channels); ++i) {
    channels.push_back(grpc::CreateCustomChannel(
        absl::GetFlag(FLAGS_target), grpc::InsecureChannelCredentials(),
        arguments));
  }
  return channels;
}

grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Without messages.
LoadOptions OptionsFromFlags() {
  return {.channels = OpenChannels(),
          .threads = static_cast<int>(absl::GetFlag(FLAGS_threads)),
          .concurrency = static_cast<int>(absl::GetFlag(FLAGS_concurrency)),
          .rate = absl::GetFlag(FLAGS_rate),
          .duration = absl::GetFlag(FLAGS_duration),
          .requests = absl::GetFlag(FLAGS_requests),
          .timeout = absl::GetFlag(FLAGS_timeout),
          .seed = absl::GetFlag(FLAGS_seed)};
}

std::vector<grpc::ByteBuffer> MessagesOf(
    const Exchange& exchange, const std::vector<SharedSample>& shared) {
  std::vector<grpc::ByteBuffer> messages;
  for (const SharedSample& place : shared) {
    messages.push_back(BufferOf(place.request().SerializeAsString()));
  }
  if (shared.empty()) messages.push_back(BufferOf(exchange.request));
  return messages;
}

// With --device_memory, the driver; else null.
absl::StatusOr<std::unique_ptr<client::CudaDriver>> OpenDriver() {
  if (!absl::GetFlag(FLAGS_device_memory)) {
    return std::unique_ptr<client::CudaDriver>();
  }
  return client::CudaDriver::Open();
}

// With --shared_memory, a sample for each call in flight; else none.
absl::StatusOr<std::vector<SharedSample>> ShareSample(
    const client::CudaDriver* driver, const v1::ComputeLossRequest& sample) {
  std::vector<SharedSample> shared;
  const std::string path = absl::GetFlag(FLAGS_shared_memory);
  if (path.empty()) return shared;
  auto memory = client::SharedMemory::Connect(path);
  if (!memory.ok()) return memory.status();
  for (int64_t i = 0; i < absl::GetFlag(FLAGS_concurrency); ++i) {
    auto made = SharedSample::Make(**memory, driver, sample);
    if (!made.ok()) return made.status();
    shared.push_back(*std::move(made));
  }
  return shared;
}

void Print(const LoadReport& report, const ReportScale& scale) {
  const std::string text = absl::GetFlag(FLAGS_json)
                               ? ReportJson(report, scale)
                               : ReportTable(report, scale);
  std::fputs(text.c_str(), stdout);
}

// One reply, before any is timed.
absl::Status CheckReply(const Exchange& exchange,
                        const std::vector<SharedSample>& shared,
                        const LoadOptions& options) {
  absl::StatusOr<std::string> reply = CallOnce(options);
  if (reply.ok() && !shared.empty()) {
    reply = shared.front().WithGradient(*reply);
  }
  return reply.ok() ? exchange.check(*reply) : reply.status();
}

// Checks one answer, warms up, measures and prints.
int Measure(const v1::ComputeLossRequest& sample) {
  const auto exchange = ExchangeWith(absl::GetFlag(FLAGS_peer), sample);
  if (!exchange.ok()) return Usage(exchange.status());
  const auto driver = OpenDriver();
  if (!driver.ok()) return Failed(driver.status());
  const auto shared = ShareSample(driver->get(), sample);
  if (!shared.ok()) return Failed(shared.status());
  LoadOptions options = OptionsFromFlags();
  options.method = exchange->method;
  options.messages = MessagesOf(*exchange, *shared);
  if (absl::Status status = CheckReply(*exchange, *shared, options);
      !status.ok()) {
    return Failed(status);
  }
  if (absl::GetFlag(FLAGS_warmup) > absl::ZeroDuration()) {
    LoadOptions warmup = options;
    warmup.duration = absl::GetFlag(FLAGS_warmup);
    RunLoad(warmup);
  }
  const LoadReport report = RunLoad(options);
  const ReportScale scale = {
      .elements = absl::GetFlag(FLAGS_elements),
      .request_bytes = static_cast<int64_t>(options.messages.front().Length())};
  Print(report, scale);
  return report.succeeded > 0 ? 0 : 1;
}

// The same for streams; what is wrong with an answer shows as an error.
int MeasureStreams(const SampleOptions& sample) {
  if (absl::GetFlag(FLAGS_rate) > 0 || !absl::GetFlag(FLAGS_peer).empty() ||
      !absl::GetFlag(FLAGS_shared_memory).empty()) {
    return Usage(absl::InvalidArgumentError(
        "--stream: not with --rate, --peer or --shared_memory"));
  }
  const absl::StatusOr<StreamMessages> messages = MakeStream(sample);
  if (!messages.ok()) return Usage(messages.status());
  const LoadOptions options = OptionsFromFlags();
  if (absl::GetFlag(FLAGS_warmup) > absl::ZeroDuration()) {
    LoadOptions warmup = options;
    warmup.duration = absl::GetFlag(FLAGS_warmup);
    RunStreamLoad(warmup, *messages);
  }
  const LoadReport report = RunStreamLoad(options, *messages);
  Print(report, {.elements = messages->elements,
                 .request_bytes = messages->request_bytes});
  return report.succeeded > 0 ? 0 : 1;
}

int Run(std::span<const char* const> arguments) {
  const auto words = ParseFlags(arguments);
  if (!words.ok()) return Usage(words.status());
  if (absl::GetFlag(FLAGS_help)) {
    std::fputs(DescribeFlags().c_str(), stdout);
    return 0;
  }
  if (!words->empty()) {
    return Usage(absl::InvalidArgumentError(
        absl::StrCat("\"", words->front(), "\" is no flag")));
  }
  if (absl::Status status = CheckFlags(); !status.ok()) return Usage(status);
  const SampleOptions sample_options = {
      .elements = absl::GetFlag(FLAGS_elements),
      .dtype = absl::GetFlag(FLAGS_dtype),
      .targets_dtype = absl::GetFlag(FLAGS_targets_dtype),
      .gradient_dtype = absl::GetFlag(FLAGS_gradient_dtype),
      .seed = absl::GetFlag(FLAGS_seed)};
  if (absl::GetFlag(FLAGS_stream)) return MeasureStreams(sample_options);
  const auto sample = MakeSample(sample_options);
  if (!sample.ok()) return Usage(sample.status());
  return Measure(*sample);
}

}  // namespace
}  // namespace lossd::bench

int main(int argc, char** argv) {
  // An error is one line of ours; who wants gRPC's own log too sets this.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  return lossd::bench::Run(
      std::span<const char* const>(argv, static_cast<size_t>(argc))
          .subspan(argc > 0 ? 1 : 0));
}
