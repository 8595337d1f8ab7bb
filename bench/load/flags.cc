#include "bench/load/flags.h"

#include "base/completion/script.h"
#include "base/flag_parser.h"
#include "bench/load/exchange.h"
#include "client/cpp/servers.h"

namespace lossd::bench {
namespace {

// The message of float64 logits and targets is then 1 GiB, half of what
// protobuf can count.
constexpr int64_t kMaxElements = int64_t{1} << 26;
constexpr int64_t kMaxStreamElements = int64_t{1} << 40;
// A machine runs fewer threads at once, but can make as many.
constexpr int64_t kMaxThreads = 1024;
constexpr int64_t kMaxChannels = 1024;
constexpr int64_t kMaxConcurrency = int64_t{1} << 16;

// Returns the value of a flag for which a shell offers `names`.
template <typename Names>
FlagValue OneOf(const Names& names, std::string* name) {
  return NameValue(name, {names.begin(), names.end()});
}

FlagGroup RequestRows(Flags& flags) {
  return {"Requests",
          {{"elements", AnyValue(&flags.sample.elements),
            "elements of one request"},
           {"dtype", OneOf(kSampleTypes, &flags.sample.dtype),
            "dtype of the logits: float32, float64, bfloat16, float16, "
            "float8_e4m3fn or float8_e5m2"},
           {"targets_dtype", OneOf(kTargetTypes, &flags.sample.targets_dtype),
            "dtype of the targets: float32, float64, bfloat16, float16, "
            "float8_e4m3fn, float8_e5m2, uint8, bool or bit"},
           {"gradient_dtype", OneOf(kSampleTypes, &flags.sample.gradient_dtype),
            "dtype of the gradient: float32, float64, bfloat16, float16, "
            "float8_e4m3fn or float8_e5m2; empty is the logits'"},
           {"stream", AnyValue(&flags.stream),
            "send each request as a StreamLoss whose chunks are the same bytes "
            "over and over, so that --elements may be more than memory holds"},
           {"session", AnyValue(&flags.session),
            "send the requests in one session (ComputeLosses) for each of "
            "--channels, with --concurrency requests in flight in all; the "
            "sessions have their own threads, so --threads is not read"},
           {"job", AnyValue(&flags.job),
            "name of the training job that each request belongs to, for the "
            "server's metrics; empty names none"},
           {"seed", AnyValue(&flags.sample.seed),
            "seed of the random data and of the arrival times"}}};
}

FlagGroup LoadRows(Flags& flags) {
  constexpr absl::Duration kShortest = absl::Milliseconds(1);
  return {
      "Load",
      {{"concurrency", AnyValue(&flags.concurrency),
        "calls in flight at once; with --rate the most there may be"},
       {"rate", InRange(&flags.rate, 0, 1e7),
        "calls that start in a second, as a Poisson process, whether replies "
        "come or not (open loop); one that is late by half of --timeout is not "
        "sent but counted as unsent; 0 starts a call when one ends (closed "
        "loop)"},
       {"threads", InRange(&flags.threads, 1, kMaxThreads),
        "client threads, each with a completion queue"},
       {"duration", InRange(&flags.duration, kShortest, absl::Hours(24)),
        "how long calls are started and measured, such as 5s"},
       {"warmup", InRange(&flags.warmup, absl::ZeroDuration(), absl::Hours(24)),
        "how long the load runs before it is measured, such as 1s"},
       {"requests", AtLeast(&flags.requests, 0),
        "stops after this many calls; 0 sets no limit"}}};
}

FlagGroup TransportRows(Flags& flags) {
  constexpr absl::Duration kShortest = absl::Milliseconds(1);
  return {
      "Transport",
      {{"target", AddressValue(&flags.target),
        "the server's address: HOST:PORT, or unix:/path of its Unix socket; "
        "with --session several servers are HOST:PORT,HOST:PORT or "
        "dns:///NAME:PORT"},
       {"channels", InRange(&flags.channels, 1, kMaxChannels),
        "connections to the server; calls take turns on them"},
       {"timeout", InRange(&flags.timeout, kShortest, absl::Hours(24)),
        "longest time that one call may take, such as 500ms or 5s"},
       {"peer", OneOf(kPeers, &flags.peer),
        "the program at --target if it is not lossd: echo (echo_server: the "
        "reply is the request's beginning), protobuf_echo "
        "(protobuf_echo_server: the gradient is the logits) or triton (the "
        "model in bench/peers/triton_model)"},
       {"traceparent", TraceparentValue(&flags.traceparent),
        "W3C traceparent of each call; not read with --stream or --session"},
       {"shared_memory", PathValue(&flags.shared_memory),
        "path of the server's --shared_memory_socket: tensors and gradients "
        "lie in shared memory, in one region for each call in flight; empty "
        "sends them"},
       {"device_memory", AnyValue(&flags.device_memory),
        "with --shared_memory: tensors and gradients lie in memory of GPU 0, "
        "lent to the server"}}};
}

}  // namespace

FlagTable TableOf(Flags& flags) {
  return {RequestRows(flags),
          LoadRows(flags),
          TransportRows(flags),
          {"Output",
           {{"json", AnyValue(&flags.json), "print JSON in place of a table"},
            completion::CompletionFlag(&flags.shell),
            {"help", AnyValue(&flags.help), "print this and exit"}}}};
}

absl::Status CheckTogether(const Flags& flags) {
  // A stream has a thread of its own.
  for (const absl::Status& status :
       {CheckInRange("elements", flags.sample.elements, 1,
                     flags.stream ? kMaxStreamElements : kMaxElements),
        CheckInRange("concurrency", flags.concurrency, 1,
                     flags.stream ? kMaxThreads : kMaxConcurrency)}) {
    if (!status.ok()) return status;
  }
  if (!flags.peer.empty() && !flags.shared_memory.empty()) {
    return absl::InvalidArgumentError("--peer: not with --shared_memory");
  }
  if (flags.device_memory && flags.shared_memory.empty()) {
    return absl::InvalidArgumentError(
        "--device_memory: only with --shared_memory");
  }
  if (flags.stream &&
      (flags.rate > 0 || !flags.peer.empty() || !flags.shared_memory.empty())) {
    return absl::InvalidArgumentError(
        "--stream: not with --rate, --peer or --shared_memory");
  }
  if (flags.session &&
      (flags.rate > 0 || !flags.peer.empty() || flags.stream)) {
    return absl::InvalidArgumentError(
        "--session: not with --rate, --peer or --stream");
  }
  const auto servers = client::ParseServers(flags.target);
  if (servers.ok() && !servers->listed.empty() && !flags.session) {
    return absl::InvalidArgumentError(
        "--target: several servers only with --session");
  }
  return servers.status();
}

}  // namespace lossd::bench
