#include "server/flags.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/completion/script.h"
#include "base/file.h"
#include "base/flag_parser.h"
#include "base/version.h"
#include "server/base/status_macros.h"
#include "server/config_table.h"
#include "server/tracing/otlp_http_exporter.h"

namespace lossd {
namespace {

using Environment = std::function<const char*(const char* name)>;

// clang-format off
constexpr char kUsage[] =
    "lossd: sigmoid-family losses and their gradients as a gRPC service.\n"
    "\n"
    "usage: lossd [--flag=value...]     The value after = below is the default.\n"
    "\n"
    "Each flag is also read from the environment as LOSSD_<FLAG>, and from files\n"
    "(--flagfile=PATH, one --flag=value a line). The file that LOSSD_FLAGFILE\n"
    "names comes first, then the other variables, then the arguments in their\n"
    "order; each overrides those before it. OTEL_EXPORTER_OTLP_ENDPOINT,\n"
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_SERVICE_NAME come before all.\n"
    "\n";
// clang-format on

// Returns the arguments in the lines of a flag file. Empty lines and those that
// begin with # are left out.
std::vector<std::string> ArgumentsIn(absl::string_view text) {
  std::vector<std::string> arguments;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (!line.empty() && line.front() != '#') arguments.emplace_back(line);
  }
  return arguments;
}

// Reads all sources of flags into one config.
class Reader {
 public:
  // Not copied or moved: the table points into this.
  Reader() = default;
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  absl::Status ReadEnvironment(const Environment& environment) {
    ReadOpenTelemetry(environment);
    if (const char* path = environment("LOSSD_FLAGFILE"); path != nullptr) {
      if (absl::Status s = ReadFlagFile(path); !s.ok()) {
        return Named("LOSSD_FLAGFILE", s);
      }
    }
    for (const FlagGroup& group : config_table_) {
      for (const Flag& flag : group.flags) {
        const std::string variable =
            absl::StrCat("LOSSD_", absl::AsciiStrToUpper(flag.name));
        const char* value = environment(variable.c_str());
        if (value == nullptr) continue;
        const absl::Status status = flag.value.set(value);
        if (!status.ok()) return Named(variable, status);
      }
    }
    return absl::OkStatus();
  }

  absl::Status ReadArguments(const std::vector<std::string>& arguments) {
    return ParseFlagsOnly(table_, arguments);
  }

  // Returns what was read, after ReadEnvironment() and ReadArguments().
  absl::StatusOr<CommandLine> Finish() const {
    CommandLine line{.config = config_};
    if (version_) {
      line.print = absl::StrCat("lossd ", kVersion, "\n");
    } else if (help_) {
      line.print = absl::StrCat(kUsage, DescribeFlags(table_));
    } else if (!shell_.empty()) {
      auto script = completion::Script(
          shell_, {.name = "lossd", .flags = table_, .commands = {}});
      if (!script.ok()) return script.status();
      line.print = *std::move(script);
    } else {
      RETURN_IF_ERROR(CheckOpenTelemetry());
      RETURN_IF_ERROR(ValidateConfig(config_));
    }
    return line;
  }

 private:
  // Reads OpenTelemetry's own variables, which many programs share. By its
  // rules an empty one is as one that is not set.
  void ReadOpenTelemetry(const Environment& environment) {
    const auto value = [&environment](const char* name) {
      const char* text = environment(name);
      return std::string(text == nullptr ? "" : text);
    };
    const std::string name = value("OTEL_SERVICE_NAME");
    if (!name.empty()) config_.otlp_service_name = name;
    const char* variable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    shared_endpoint_ = value(variable);
    if (shared_endpoint_.empty()) {
      variable = "OTEL_EXPORTER_OTLP_ENDPOINT";
      const std::string base = value(variable);
      if (base.empty()) return;
      shared_endpoint_ =
          absl::StrCat(absl::StripSuffix(base, "/"), "/v1/traces");
    }
    shared_variable_ = absl::StrCat(variable, "=", value(variable));
    config_.otlp_endpoint = shared_endpoint_;
  }

  // Refuses an endpoint of those variables that is to be used.
  absl::Status CheckOpenTelemetry() const {
    if (config_.otlp_endpoint.empty() ||
        config_.otlp_endpoint != shared_endpoint_) {
      return absl::OkStatus();
    }
    absl::Status status = tracing::CheckEndpoint(shared_endpoint_);
    if (status.ok()) return status;
    return absl::InvalidArgumentError(
        absl::StrCat(shared_variable_, ": must be ", status.message()));
  }

  static absl::Status Named(absl::string_view variable,
                            const absl::Status& status) {
    return absl::InvalidArgumentError(absl::StrCat(variable, status.message()));
  }

  static absl::Status BadFile(absl::string_view path, absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("=", path, ": ", why));
  }

  // The flags that are not settings, and so have no variable.
  FlagTable OtherFlags() {
    FlagValue flag_file;
    flag_file.set = [this](absl::string_view path) {
      return ReadFlagFile(std::string(path));
    };
    flag_file.check = [] { return absl::OkStatus(); };
    flag_file.offer = Offer::kFiles;
    return {{"Other",
             {{"flagfile", flag_file,
               "file with one --flag=value a line; its flags count as if they "
               "stood here; lines that begin with # are comments"},
              completion::CompletionFlag(&shell_),
              {"help", AnyValue(&help_), "print this and exit"},
              {"version", AnyValue(&version_), "print the version and exit"}}}};
  }

  FlagTable AllFlags() {
    FlagTable all = config_table_;
    for (FlagGroup& group : OtherFlags()) all.push_back(std::move(group));
    return all;
  }

  absl::Status ReadFlagFile(const std::string& path) {
    const absl::StatusOr<std::string> text = ReadFile(path);
    if (!text.ok()) return BadFile(path, "must be a file that can be read");
    std::error_code error;
    const auto file = std::filesystem::canonical(path, error);
    if (std::find(open_files_.begin(), open_files_.end(), file) !=
        open_files_.end()) {
      return BadFile(path, "is being read already; does it name itself?");
    }
    open_files_.push_back(file);
    const absl::Status status = ReadArguments(ArgumentsIn(*text));
    open_files_.pop_back();
    return status.ok() ? status : BadFile(path, status.message());
  }

  Config config_;
  // The endpoint that OpenTelemetry's variables name, and NAME=VALUE of the one
  // that names it.
  std::string shared_endpoint_;
  std::string shared_variable_;
  std::string shell_;
  bool help_ = false;
  bool version_ = false;
  const FlagTable config_table_ = ConfigTable(config_);
  const FlagTable table_ = AllFlags();
  // The flag files that name each other down to the one that is being read.
  std::vector<std::filesystem::path> open_files_;
};

}  // namespace

absl::StatusOr<CommandLine> ReadCommandLine(
    const std::vector<std::string>& arguments, const Environment& environment) {
  Reader reader;
  RETURN_IF_ERROR(reader.ReadEnvironment(environment));
  RETURN_IF_ERROR(reader.ReadArguments(arguments));
  return reader.Finish();
}

}  // namespace lossd
