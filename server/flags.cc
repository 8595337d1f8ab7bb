#include "server/flags.h"

#include <algorithm>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/flag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "server/version.h"

using lossd::Config;

ABSL_FLAG(std::string, listen, Config().listen,
          "HOST:PORT to serve gRPC on; port 0: any");
ABSL_FLAG(std::string, unix_socket, "",
          "path of a Unix socket to serve gRPC on as well");
ABSL_FLAG(std::string, metrics_listen, Config().metrics_listen,
          "HOST:PORT of the /metrics page; port 0: any");
ABSL_FLAG(std::string, backend, "auto",
          "auto (CUDA if there is a device), cpu or cuda");
ABSL_FLAG(std::vector<std::string>, cuda_devices, {},
          "device numbers; empty: all");
ABSL_FLAG(int, cuda_streams, Config().cuda_streams,
          "batches in flight per CUDA device");
ABSL_FLAG(int64_t, max_pinned_bytes, Config().max_pinned_bytes,
          "host memory pinned for each CUDA device; requests that need more "
          "are computed by the CPU");
ABSL_FLAG(int, cpu_threads, Config().cpu_threads,
          "threads that compute, where no GPU does; 0: one per core");
ABSL_FLAG(int, rpc_threads, Config().rpc_threads,
          "threads that read and answer RPCs; 0: one for two cores, at most 4");
ABSL_FLAG(int64_t, max_batch_requests, Config().max_batch_requests,
          "requests per batch");
ABSL_FLAG(int64_t, max_batch_elements, Config().max_batch_elements,
          "elements per batch");
ABSL_FLAG(
    int64_t, max_inline_elements, Config().max_inline_elements,
    "batches up to so many elements are computed by the RPC thread, where no "
    "GPU computes; 0: none");
ABSL_FLAG(absl::Duration, max_queue_delay, Config().max_queue_delay,
          "how long a batch is held open for more requests, such as 200us");
ABSL_FLAG(int64_t, max_inflight_bytes, Config().max_inflight_bytes,
          "bytes of requests, and of what is made for them, inside the server; "
          "more is RESOURCE_EXHAUSTED");
ABSL_FLAG(int64_t, max_inflight_requests, Config().max_inflight_requests,
          "requests inside the server; more is RESOURCE_EXHAUSTED");
ABSL_FLAG(int64_t, max_message_bytes, Config().max_message_bytes,
          "largest request; more is RESOURCE_EXHAUSTED");
ABSL_FLAG(absl::Duration, drain_timeout, Config().drain_timeout,
          "how long accepted work may take after SIGTERM");
ABSL_FLAG(absl::Duration, stream_idle_timeout, Config().stream_idle_timeout,
          "after which a stream ends whose client neither sends nor reads; 0: "
          "never");
ABSL_FLAG(std::string, tls_cert, "",
          "PEM file of the server's certificate chain");
ABSL_FLAG(std::string, tls_key, "", "PEM file of its private key");
ABSL_FLAG(
    std::string, tls_client_ca, "",
    "PEM file of authorities; clients then need a certificate (mutual TLS)");
ABSL_FLAG(std::string, token_file, "",
          "file of bearer tokens, one a line; clients then need one");
ABSL_FLAG(std::string, shared_memory_socket, "",
          "path of a Unix socket over which workers of this host get shared "
          "memory");
ABSL_FLAG(int64_t, max_shared_memory_bytes, Config().max_shared_memory_bytes,
          "of all workers; more is RESOURCE_EXHAUSTED");
ABSL_FLAG(int64_t, max_shared_memory_bytes_per_connection,
          Config().max_shared_memory_bytes_per_connection,
          "of one connection; more is RESOURCE_EXHAUSTED");
ABSL_FLAG(bool, channelz, false, "serve grpc.channelz.v1.Channelz");
ABSL_FLAG(std::string, log_level, Config().log_level,
          "trace, debug, info, warning, error or off");
ABSL_FLAG(std::string, log_format, "text", "text or json");

namespace lossd {
namespace {

// What values a flag has; Abseil only says that one is illegal.
absl::string_view Domain(const absl::CommandLineFlag& flag) {
  if (flag.IsOfType<absl::Duration>()) {
    return "a number with a unit, such as 200us or 5s";
  }
  if (flag.IsOfType<bool>()) return "true or false";
  return flag.IsOfType<int>() ? "a whole number of 32 bits"
                              : "a whole number of 64 bits";
}

absl::Status Set(absl::string_view name, absl::string_view value,
                 absl::string_view origin) {
  absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  if (flag == nullptr) {  // such as --nochannelz=1
    return absl::InvalidArgumentError(
        absl::StrCat(origin, ": unknown flag --", name));
  }
  std::string error;
  if (flag->ParseFrom(value, &error)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      origin, ": --", name, "=", value, ": must be ", Domain(*flag)));
}

absl::Status ReadArguments(const std::vector<std::string>& arguments,
                           absl::string_view origin, int depth,
                           CommandLine* line);

// Lines that are empty or begin with # are left out.
absl::Status ReadFlagFile(const std::string& path, int depth,
                          CommandLine* line) {
  constexpr int kMaxDepth = 8;  // a file that names itself must end somewhere
  if (depth > kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--flagfile=", path, ": named by more than ", kMaxDepth,
        " files within each other; does one of them name itself?"));
  }
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--flagfile=", path, ": must be a file that can be read"));
  }
  std::vector<std::string> arguments;
  for (const absl::string_view row : absl::StrSplit(*text, '\n')) {
    const absl::string_view stripped = absl::StripAsciiWhitespace(row);
    if (!stripped.empty() && stripped.front() != '#')
      arguments.emplace_back(stripped);
  }
  return ReadArguments(arguments, path, depth + 1, line);
}

std::string Help() {
  std::string text =
      "lossd: sigmoid-family losses and their gradients as a gRPC service.\n\n"
      "Each flag is also read from the environment as LOSSD_<FLAG>, and from "
      "files\n"
      "(--flagfile=PATH, one --flag=value a line).\n\n";
  std::vector<absl::CommandLineFlag*> flags;
  for (const auto& [name, flag] : absl::GetAllFlags()) flags.push_back(flag);
  std::sort(flags.begin(), flags.end(),
            [](const auto* a, const auto* b) { return a->Name() < b->Name(); });
  for (const absl::CommandLineFlag* flag : flags) {
    absl::StrAppend(&text, "  --", flag->Name(), "=", flag->DefaultValue(),
                    "\n      ", flag->Help(), "\n");
  }
  return text;
}

bool IsBool(absl::string_view name) {
  const absl::CommandLineFlag* flag = absl::FindCommandLineFlag(name);
  return flag != nullptr && flag->IsOfType<bool>();
}

bool IsFlag(absl::string_view name) {
  return name == "flagfile" || absl::FindCommandLineFlag(name) != nullptr;
}

// --nochannelz is --channelz=false.
bool IsNegatedBool(absl::string_view name) {
  return absl::StartsWith(name, "no") && IsBool(name.substr(2));
}

absl::Status ReadArguments(const std::vector<std::string>& arguments,
                           absl::string_view origin, int depth,
                           CommandLine* line) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view name = arguments[i];
    if (!absl::ConsumePrefix(&name, "-")) {
      return absl::InvalidArgumentError(absl::StrCat(
          origin, ": ", arguments[i], " is not a flag; see lossd --help"));
    }
    absl::ConsumePrefix(&name, "-");
    const size_t equals = name.find('=');
    std::optional<std::string> value;
    if (equals != absl::string_view::npos) {
      value = std::string(name.substr(equals + 1));
      name = name.substr(0, equals);
    }
    if (name == "help" || name == "h" || name == "version") {
      line->print =
          name == "version" ? absl::StrCat("lossd ", kVersion, "\n") : Help();
      continue;
    }
    if (!IsFlag(name) && !IsNegatedBool(name)) {
      return absl::InvalidArgumentError(absl::StrCat(
          origin, ": unknown flag --", name, "; see lossd --help"));
    }
    if (!value && IsBool(name)) value = "true";
    if (!value && IsNegatedBool(name)) {
      name = name.substr(2);
      value = "false";
    }
    if (!value && i + 1 < arguments.size()) value = arguments[++i];
    if (!value) {
      return absl::InvalidArgumentError(
          absl::StrCat(origin, ": --", name, " needs a value"));
    }
    absl::Status status = name == "flagfile" ? ReadFlagFile(*value, depth, line)
                                             : Set(name, *value, origin);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status ReadEnvironment(
    const std::function<const char*(const char* name)>& environment,
    CommandLine* line) {
  if (const char* path = environment("LOSSD_FLAGFILE"); path != nullptr) {
    if (absl::Status s = ReadFlagFile(path, 0, line); !s.ok()) return s;
  }
  for (const auto& [name, flag] : absl::GetAllFlags()) {
    const std::string variable =
        absl::StrCat("LOSSD_", absl::AsciiStrToUpper(name));
    const char* value = environment(variable.c_str());
    if (value == nullptr) continue;
    if (absl::Status s = Set(name, value, variable); !s.ok()) return s;
  }
  return absl::OkStatus();
}

absl::Status ReadChoices(Config* config) {
  const std::string backend = absl::GetFlag(FLAGS_backend);
  if (backend == "auto") {
    config->backend = Backend::kAuto;
  } else if (backend == "cpu") {
    config->backend = Backend::kCpu;
  } else if (backend == "cuda") {
    config->backend = Backend::kCuda;
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("--backend=", backend, ": must be auto, cpu or cuda"));
  }
  const std::string format = absl::GetFlag(FLAGS_log_format);
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(
        absl::StrCat("--log_format=", format, ": must be text or json"));
  }
  config->log_format = format == "json" ? observability::LogFormat::kJson
                                        : observability::LogFormat::kText;
  config->cuda_devices.clear();
  for (const std::string& text : absl::GetFlag(FLAGS_cuda_devices)) {
    int device;
    if (!absl::SimpleAtoi(text, &device)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--cuda_devices: ", text, " is not a device number"));
    }
    config->cuda_devices.push_back(device);
  }
  return absl::OkStatus();
}

void ReadPlainFlags(Config* config) {
  config->listen = absl::GetFlag(FLAGS_listen);
  config->unix_socket = absl::GetFlag(FLAGS_unix_socket);
  config->metrics_listen = absl::GetFlag(FLAGS_metrics_listen);
  config->cuda_streams = absl::GetFlag(FLAGS_cuda_streams);
  config->max_pinned_bytes = absl::GetFlag(FLAGS_max_pinned_bytes);
  config->cpu_threads = absl::GetFlag(FLAGS_cpu_threads);
  config->rpc_threads = absl::GetFlag(FLAGS_rpc_threads);
  config->max_batch_requests = absl::GetFlag(FLAGS_max_batch_requests);
  config->max_batch_elements = absl::GetFlag(FLAGS_max_batch_elements);
  config->max_inline_elements = absl::GetFlag(FLAGS_max_inline_elements);
  config->max_queue_delay = absl::GetFlag(FLAGS_max_queue_delay);
  config->max_inflight_bytes = absl::GetFlag(FLAGS_max_inflight_bytes);
  config->max_inflight_requests = absl::GetFlag(FLAGS_max_inflight_requests);
  config->max_message_bytes = absl::GetFlag(FLAGS_max_message_bytes);
  config->drain_timeout = absl::GetFlag(FLAGS_drain_timeout);
  config->stream_idle_timeout = absl::GetFlag(FLAGS_stream_idle_timeout);
  config->tls_cert = absl::GetFlag(FLAGS_tls_cert);
  config->tls_key = absl::GetFlag(FLAGS_tls_key);
  config->tls_client_ca = absl::GetFlag(FLAGS_tls_client_ca);
  config->token_file = absl::GetFlag(FLAGS_token_file);
  config->shared_memory_socket = absl::GetFlag(FLAGS_shared_memory_socket);
  config->max_shared_memory_bytes =
      absl::GetFlag(FLAGS_max_shared_memory_bytes);
  config->max_shared_memory_bytes_per_connection =
      absl::GetFlag(FLAGS_max_shared_memory_bytes_per_connection);
  config->channelz = absl::GetFlag(FLAGS_channelz);
  config->log_level = absl::GetFlag(FLAGS_log_level);
}

}  // namespace

absl::StatusOr<CommandLine> ReadCommandLine(
    const std::vector<std::string>& arguments,
    const std::function<const char*(const char* name)>& environment) {
  CommandLine line;
  if (absl::Status s = ReadEnvironment(environment, &line); !s.ok()) return s;
  if (absl::Status s = ReadArguments(arguments, "command line", 0, &line);
      !s.ok()) {
    return s;
  }
  if (line.print.has_value()) return line;
  ReadPlainFlags(&line.config);
  if (absl::Status s = ReadChoices(&line.config); !s.ok()) return s;
  if (absl::Status s = ValidateConfig(line.config); !s.ok()) return s;
  return line;
}

}  // namespace lossd
