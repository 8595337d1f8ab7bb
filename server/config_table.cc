#include "server/config_table.h"

#include <sys/un.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/address.h"
#include "server/tracing/otlp_http_exporter.h"

namespace lossd {
namespace {

constexpr int kMaxThreads = 1024;
// Linux has no more descriptors for one process.
constexpr int64_t kMaxConnections = int64_t{1} << 30;
// protobuf counts a message's bytes in 31 bits.
constexpr int64_t kMaxMessageBytes = std::numeric_limits<int32_t>::max();
// Each has a place in every thread's metrics, and 14 series.
constexpr int64_t kMaxJobs = 1000;

absl::Status MustBe(const absl::AlphaNum& text, absl::string_view rule) {
  return absl::InvalidArgumentError(
      absl::StrCat("=", text, ": must be ", rule));
}

FlagValue TcpAddress(std::string* address) {
  FlagValue value = AnyValue(address);
  value.check = [address] {
    return ParseAddress(*address).has_value()
               ? absl::OkStatus()
               : MustBe(*address, "HOST:PORT with a port in [0, 65535]");
  };
  return value;
}

absl::Status CheckSocketPath(const std::string& path) {
  if (path.empty()) return absl::OkStatus();
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return MustBe(path, absl::StrCat("shorter than ",
                                     sizeof(sockaddr_un::sun_path), " bytes"));
  }
  const auto folder = std::filesystem::absolute(path).parent_path();
  std::error_code error;
  if (std::filesystem::is_directory(folder, error)) return absl::OkStatus();
  return MustBe(path, absl::StrCat("in a directory, and ", folder.string(),
                                   " is not there"));
}

// The path of a socket that the server makes; empty for none.
FlagValue SocketPath(std::string* path) {
  FlagValue value = PathValue(path);
  value.check = [path] { return CheckSocketPath(*path); };
  return value;
}

// The path of a file that exists; empty for none.
FlagValue ReadableFile(std::string* path) {
  FlagValue value = PathValue(path);
  value.check = [path] {
    return path->empty() || std::ifstream(*path).good()
               ? absl::OkStatus()
               : MustBe(*path, "a file that can be read");
  };
  return value;
}

// The URL of a collector; empty for none.
FlagValue CollectorUrl(std::string* url) {
  FlagValue value = AnyValue(url);
  value.check = [url] {
    if (url->empty()) return absl::OkStatus();
    const absl::Status status = tracing::CheckEndpoint(*url);
    return status.ok() ? status : MustBe(*url, status.message());
  };
  return value;
}

// A text that is not empty.
FlagValue SomeText(std::string* text) {
  FlagValue value = AnyValue(text);
  value.check = [text] {
    return text->empty() ? MustBe(*text, "a name") : absl::OkStatus();
  };
  return value;
}

FlagValue DeviceNumbers(std::vector<int>* devices) {
  return {.set = [devices](absl::string_view text) -> absl::Status {
            std::vector<int> read;
            for (const absl::string_view number :
                 absl::StrSplit(text, ',', absl::SkipEmpty())) {
              int device = -1;
              if (!absl::SimpleAtoi(number, &device) || device < 0) {
                return MustBe(text, "device numbers from 0 up, such as 0,2");
              }
              read.push_back(device);
            }
            *devices = std::move(read);
            return absl::OkStatus();
          },
          .check = [devices]() -> absl::Status {
            for (const int device : *devices) {
              if (device < 0) return MustBe(device, "0 or more");
            }
            return absl::OkStatus();
          },
          .default_text = absl::StrJoin(*devices, ",")};
}

template <typename Enum>
struct Choice {
  absl::string_view name;
  Enum value;
};

// One of `choices` by its name; `rule` lists the names.
template <typename Enum>
FlagValue OneOf(Enum* value, std::vector<Choice<Enum>> choices,
                absl::string_view rule) {
  FlagValue row;
  for (const Choice<Enum>& choice : choices) {
    if (choice.value == *value) row.default_text = std::string(choice.name);
    row.choices.emplace_back(choice.name);
  }
  row.set = [value, choices = std::move(choices),
             rule](absl::string_view text) -> absl::Status {
    for (const Choice<Enum>& choice : choices) {
      if (choice.name != text) continue;
      *value = choice.value;
      return absl::OkStatus();
    }
    return MustBe(text, rule);
  };
  row.check = [] { return absl::OkStatus(); };
  return row;
}

FlagGroup ComputeFlags(Config& c) {
  return {
      "Compute",
      {{"backend",
        OneOf<Backend>(&c.backend,
                       {{"auto", Backend::kAuto},
                        {"cpu", Backend::kCpu},
                        {"cuda", Backend::kCuda}},
                       "auto, cpu or cuda"),
        "where losses are computed: auto (on CUDA devices if there are any, "
        "else on the CPU), cpu, or cuda (the server does not start without a "
        "device)"},
       {"cuda_devices", DeviceNumbers(&c.cuda_devices),
        "numbers of the CUDA devices to use, such as 0,2; empty uses all"},
       {"cuda_streams", InRange(&c.cuda_streams, 1, 64),
        "batches in flight at once on each CUDA device"},
       {"max_pinned_bytes", AtLeast(&c.max_pinned_bytes, 1 << 20),
        "pinned host memory for each CUDA device, in bytes, and as much for "
        "shared memory; requests that need more are computed on the CPU, and "
        "shared memory beyond it is copied by the CPU"},
       {"cpu_threads", InRange(&c.cpu_threads, 0, kMaxThreads),
        "threads that compute on the CPU; 0 starts one for each processor that "
        "this process may use (affinity and quota of its container)"},
       {"instruction_set", AnyValue(&c.instruction_set),
        "instructions that the CPU's kernel uses, such as avx2 or avx512, to "
        "measure one or to spare a machine that slows down for wide vectors; "
        "empty uses the best; results have the same bits with each"}}};
}

FlagGroup BatchingFlags(Config& c) {
  return {
      "Batching",
      {{"max_batch_requests", AtLeast(&c.max_batch_requests, 1),
        "most requests in one batch"},
       {"max_batch_elements", AtLeast(&c.max_batch_elements, 1),
        "most elements in one batch; larger requests are computed in parts "
        "of at most this size, or on a GPU four times this size if their "
        "shared memory is pinned"},
       {"max_inline_elements", AtLeast(&c.max_inline_elements, 0),
        "batches of at most this many elements are computed by the thread "
        "that received them, if no CUDA device is used; 0 disables"},
       {"max_queue_delay",
        InRange(&c.max_queue_delay, absl::ZeroDuration(), absl::Seconds(10)),
        "how long a batch waits for more requests, such as 200us; 0 sends "
        "it as soon as an executor is free"}}};
}

FlagGroup TransportFlags(Config& c) {
  return {
      "Transport",
      {{"listen", TcpAddress(&c.listen),
        "HOST:PORT on which gRPC is served; IPv6 hosts stand in brackets, and "
        "port 0 takes any free port"},
       {"unix_socket", SocketPath(&c.unix_socket),
        "path of a Unix socket on which gRPC is served as well; empty for "
        "none"},
       {"metrics_listen", TcpAddress(&c.metrics_listen),
        "HOST:PORT on which Prometheus metrics are served over HTTP at "
        "/metrics; port 0 takes any free port"},
       {"rpc_threads", InRange(&c.rpc_threads, 0, kMaxThreads),
        "threads that receive requests and send replies; 0 starts one for "
        "every two processors that this process may use, at least 1 and at "
        "most 4"},
       {"max_connections", InRange(&c.max_connections, 0, kMaxConnections),
        "most connections that are open at once, of all listeners together; "
        "further ones are closed at once; 0 takes nine tenths of the file "
        "descriptors that are free at the start"},
       {"drain_delay",
        InRange(&c.drain_delay, absl::ZeroDuration(), absl::Hours(1)),
        "how long the server goes on accepting after SIGTERM while health "
        "checks say NOT_SERVING, such as 5s, so that balancers look elsewhere "
        "before the drain begins"},
       {"drain_timeout",
        InRange(&c.drain_timeout, absl::ZeroDuration(), absl::Hours(1)),
        "longest time that accepted requests may take after SIGTERM, such as "
        "20s; those that are left then fail with UNAVAILABLE"},
       {"stream_idle_timeout",
        InRange(&c.stream_idle_timeout, absl::ZeroDuration(), absl::Hours(24)),
        "ends a stream whose client neither sends nor reads for this long, and "
        "a call whose answer its client does not take; 0 disables"},
       {"keepalive_min_interval",
        InRange(&c.keepalive_min_interval, absl::ZeroDuration(),
                absl::Hours(24)),
        "least time between the HTTP/2 pings of a client that sends nothing "
        "else, such as 5s; a connection with more frequent pings is closed "
        "(GOAWAY, too_many_pings); 0 allows any number"},
       {"handshake_timeout",
        InRange(&c.handshake_timeout, absl::Milliseconds(100), absl::Hours(1)),
        "how long a new connection of TCP may take to begin with TLS and "
        "HTTP/2, such as 20s; then it is closed"},
       {"channelz", AnyValue(&c.channelz),
        "serve grpc.channelz.v1.Channelz, gRPC's own view of connections and "
        "calls"}}};
}

FlagGroup LimitFlags(Config& c) {
  return {
      "Limits",
      {{"max_inflight_bytes", AtLeast(&c.max_inflight_bytes, 0),
        "memory of all requests in the server together, with what is made "
        "for them, in bytes; beyond it requests fail with "
        "RESOURCE_EXHAUSTED; 0 takes what the memory that this process may use "
        "(machine, container, RLIMIT_AS, RLIMIT_DATA) allows, at most 1 GiB"},
       {"max_inflight_requests", AtLeast(&c.max_inflight_requests, 0),
        "most requests in the server at once; beyond it requests fail with "
        "RESOURCE_EXHAUSTED; 0 takes what the memory allows, at most 4096"},
       {"max_message_bytes", InRange(&c.max_message_bytes, 0, kMaxMessageBytes),
        "largest request message, in bytes; larger ones fail with "
        "RESOURCE_EXHAUSTED; 0 takes two thirds of the memory that requests "
        "get by default, at most 256 MiB"},
       {"max_jobs", InRange(&c.max_jobs, 0, kMaxJobs),
        "most training jobs (metadata lossd-job of a call) with metrics of "
        "their own; further ones count together as \"other\"; 0 looks at no "
        "names"}}};
}

FlagGroup SharedMemoryFlags(Config& c) {
  return {"Shared memory",
          {{"shared_memory_socket", SocketPath(&c.shared_memory_socket),
            "path of a Unix socket over which clients on this host get shared "
            "memory for their tensors; empty for none"},
           {"max_shared_memory_bytes", AtLeast(&c.max_shared_memory_bytes, 0),
            "shared memory of all clients together, in bytes; beyond it "
            "requests for memory fail with RESOURCE_EXHAUSTED"},
           {"max_shared_memory_bytes_per_connection",
            AtLeast(&c.max_shared_memory_bytes_per_connection, 0),
            "shared memory of one client connection, in bytes; beyond it "
            "requests for memory fail with RESOURCE_EXHAUSTED"}}};
}

FlagGroup SecurityFlags(Config& c) {
  return {"Security",
          {{"tls_cert", PathValue(&c.tls_cert),
            "PEM file with the server's certificate chain; turns TLS on, and "
            "needs --tls_key; empty serves plaintext"},
           {"tls_key", PathValue(&c.tls_key),
            "PEM file with the private key of the certificate in --tls_cert"},
           {"tls_client_ca", PathValue(&c.tls_client_ca),
            "PEM file with certificate authorities; clients then need a "
            "certificate of one of them (mutual TLS); empty for none"},
           {"token_file", ReadableFile(&c.token_file),
            "file with bearer tokens, one a line; clients then need one of "
            "them, and only those may do everything that have no word such as "
            "allow=compute,shared_memory,admin after them; read again every "
            "ten seconds; empty for none"},
           {"metrics_need_token", AnyValue(&c.metrics_need_token),
            "show metrics and the status page only to clients with a token of "
            "--token_file that may use admin; /healthz needs none"},
           {"trust_flow_header", AnyValue(&c.trust_flow_header),
            "let the metadata lossd-flow of a call name its flow, between "
            "which the server is fair, in place of its connection; for servers "
            "that clients reach only through a proxy that sets it"}}};
}

FlagGroup TracingFlags(Config& c) {
  return {
      "Tracing",
      {{"otlp_endpoint", CollectorUrl(&c.otlp_endpoint),
        "URL of an OpenTelemetry collector, such as "
        "http://127.0.0.1:4318/v1/traces, to which the spans of calls go whose "
        "metadata traceparent says that they are sampled (OTLP over HTTP); "
        "empty for none"},
       {"otlp_service_name", SomeText(&c.otlp_service_name),
        "service.name of the spans"}}};
}

FlagGroup LoggingFlags(Config& c) {
  using observability::LogFormat;
  return {"Logging",
          {{"log_level", NameValue(&c.log_level, observability::LogLevels()),
            "least severity that is logged: trace, debug, info, warning, error "
            "or off"},
           {"log_format",
            OneOf<LogFormat>(
                &c.log_format,
                {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
                "text or json"),
            "form of a log line on standard error: text, or json (one object a "
            "line)"}}};
}

}  // namespace

FlagTable ConfigTable(Config& config) {
  return {ComputeFlags(config),      BatchingFlags(config),
          TransportFlags(config),    LimitFlags(config),
          SharedMemoryFlags(config), SecurityFlags(config),
          TracingFlags(config),      LoggingFlags(config)};
}

}  // namespace lossd
