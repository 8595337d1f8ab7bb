#include "client/cli/commands.h"

#include <google/protobuf/util/json_util.h>

#include <array>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/completion/script.h"
#include "client/cli/connection_flags.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::cli {
namespace {

constexpr char kMetricsAddress[] = "localhost:9464";

ExitCode RunInfo(const ComputeFlags& flags) {
  const auto client = MakeClient(flags.connection);
  if (!client.ok()) return ReportUsage(client.status());
  const auto info = (*client)->GetServerInfo(MakeCallOptions(flags.connection));
  if (!info.ok()) return ReportCallFailure(info.status());
  std::string text;
  if (flags.output.json) {
    google::protobuf::util::JsonPrintOptions options;
    options.add_whitespace = true;
    options.always_print_primitive_fields = true;
    const auto printed =
        google::protobuf::util::MessageToJsonString(*info, &text, options);
    if (!printed.ok()) {
      return ReportCallFailure(absl::InternalError(printed.ToString()));
    }
  } else {
    text = info->DebugString();
  }
  std::fputs(text.c_str(), stdout);
  return ExitCode::kOk;
}

ExitCode RunHealth(const ComputeFlags& flags, const std::string& service) {
  const auto client = MakeClient(flags.connection);
  if (!client.ok()) return ReportUsage(client.status());
  const absl::Status health =
      (*client)->CheckHealth(service, MakeCallOptions(flags.connection));
  if (!health.ok()) return ReportCallFailure(health);
  std::puts(flags.output.json ? "{\"serving\": true}" : "serving");
  return ExitCode::kOk;
}

ExitCode RunCompletion(const std::string& shell) {
  if (shell.empty()) {
    return ReportUsage(absl::InvalidArgumentError(
        "completion takes one SHELL: bash, zsh or fish; see --help"));
  }
  const auto script = completion::Script(shell, DescribeProgram());
  if (!script.ok()) return ReportUsage(script.status());
  std::fputs(script->c_str(), stdout);
  return ExitCode::kOk;
}

FlagGroup OtherRows(Flags& flags) {
  return {
      "Other",
      {{"help", AnyValue(&flags.help), "print this and exit"},
       {"version", AnyValue(&flags.version), "print the version and exit"}}};
}

FlagTable RowsOfCompute(Flags& flags) {
  return {SpecRows(flags.compute.spec), TensorRows(flags.compute.tensors),
          ConnectionRows(flags.compute.connection),
          OutputRows(flags.compute.output), OtherRows(flags)};
}

FlagTable RowsOfCall(Flags& flags) {
  return {ConnectionRows(flags.compute.connection),
          {"Output", {JsonRow(flags.compute.output)}},
          OtherRows(flags)};
}

FlagTable RowsOfWatch(Flags& flags) {
  return {WatchRows(flags.watch),
          {"Transport",
           {TimeoutRow(flags.compute.connection),
            TokenRow(flags.compute.connection)}},
          {"Output", {JsonRow(flags.compute.output)}},
          OtherRows(flags)};
}

FlagTable RowsOfCompletion(Flags& flags) { return {OtherRows(flags)}; }

std::vector<std::string> Services() {
  const auto* file = v1::ComputeLossRequest::descriptor()->file();
  return {file->service(0)->full_name()};
}

std::vector<std::string> MetricsAddresses() { return {kMetricsAddress}; }

constexpr std::array kCommands = {
    Command{"compute", "one loss, and its gradient", nullptr, nullptr,
            &RowsOfCompute,
            [](const Flags& flags, const std::string&) {
              return RunCompute(flags.compute);
            }},
    Command{"info", "what the server is", nullptr, nullptr, &RowsOfCall,
            [](const Flags& flags, const std::string&) {
              return RunInfo(flags.compute);
            }},
    Command{"health", "is the server serving?", "SERVICE", &Services,
            &RowsOfCall,
            [](const Flags& flags, const std::string& word) {
              return RunHealth(flags.compute, word);
            }},
    Command{"watch", "what the server does, live", "HOST:PORT",
            &MetricsAddresses, &RowsOfWatch,
            [](const Flags& flags, const std::string& word) {
              return RunWatch(
                  flags.watch, word.empty() ? kMetricsAddress : word,
                  flags.compute.connection, flags.compute.output.json);
            }},
    Command{"completion", "a script that completes lossctl's words in a shell",
            "SHELL", &completion::Shells, &RowsOfCompletion,
            [](const Flags&, const std::string& word) {
              return RunCompletion(word);
            }},
};

}  // namespace

FlagTable TableOf(Flags& flags) {
  return {SpecRows(flags.compute.spec),
          TensorRows(flags.compute.tensors),
          ConnectionRows(flags.compute.connection),
          OutputRows(flags.compute.output),
          WatchRows(flags.watch),
          OtherRows(flags)};
}

absl::StatusOr<Command> FindCommand(const std::string& name) {
  std::string names;
  for (const Command& command : kCommands) {
    if (name == command.name) return command;
    absl::StrAppend(&names, names.empty() ? "" : ", ", command.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("\"", name, "\" is none of ", names, "; see --help"));
}

absl::Status CheckOperands(const Command& command,
                           const std::vector<std::string>& words) {
  const size_t most = command.operand == nullptr ? 1 : 2;
  if (words.size() <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "unexpected argument \"", words[most], "\": ", command.name, " takes ",
      command.operand == nullptr ? "flags alone"
                                 : absl::StrCat("one ", command.operand),
      "; see --help"));
}

completion::Program DescribeProgram() {
  Flags flags;
  completion::Program program{
      .name = "lossctl", .flags = RowsOfCompute(flags), .commands = {}};
  for (const Command& command : kCommands) {
    program.commands.push_back(
        {.name = command.name,
         .help = command.help,
         .flags = command.rows(flags),
         .operand = command.operand == nullptr ? "" : command.operand,
         .choices = command.operands == nullptr ? std::vector<std::string>()
                                                : command.operands()});
  }
  return program;
}

}  // namespace lossd::cli
