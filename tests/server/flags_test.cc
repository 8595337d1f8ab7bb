#include "server/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "server/config_table.h"
#include "tests/temporary_path.h"

namespace lossd {
namespace {

using testing::HasSubstr;
using testing::Not;

class Flags : public testing::Test {
 protected:
  absl::StatusOr<CommandLine> Read(const std::vector<std::string>& arguments) {
    return ReadCommandLine(arguments, [this](const char* name) -> const char* {
      const auto found = environment_.find(name);
      return found == environment_.end() ? nullptr : found->second.c_str();
    });
  }
  std::string Write(const std::string& text) {
    std::ofstream(file_.string()) << text;
    return file_.string();
  }
  const TemporaryPath file_{"flags"};
  std::map<std::string, std::string> environment_;
};

TEST_F(Flags, HaveTheDefaultsOfConfig) {
  const auto line = Read({});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.listen, Config().listen);
  EXPECT_EQ(line->config.max_batch_elements, Config().max_batch_elements);
  EXPECT_EQ(line->config.drain_timeout, Config().drain_timeout);
  EXPECT_FALSE(line->config.channelz);
  EXPECT_FALSE(line->config.trust_flow_header);
  EXPECT_EQ(line->config.max_jobs, 32);
  EXPECT_FALSE(line->print.has_value());
}

TEST_F(Flags, AreReadInBothForms) {
  const auto line =
      Read({"--rpc_threads=3", "--cpu_threads", "5", "-channelz",
            "--cuda_devices=0,2", "--max_queue_delay=200us",
            "--stream_idle_timeout=90s", "--log_format=json", "--backend=cpu"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.rpc_threads, 3);
  EXPECT_EQ(line->config.cpu_threads, 5);
  EXPECT_TRUE(line->config.channelz);
  EXPECT_THAT(line->config.cuda_devices, testing::ElementsAre(0, 2));
  EXPECT_EQ(line->config.max_queue_delay, absl::Microseconds(200));
  EXPECT_EQ(line->config.log_format, observability::LogFormat::kJson);
  EXPECT_EQ(line->config.stream_idle_timeout, absl::Seconds(90));
  EXPECT_EQ(line->config.backend, Backend::kCpu);
}

TEST_F(Flags, TheCommandLineOverridesTheEnvironment) {
  environment_ = {{"LOSSD_RPC_THREADS", "7"}, {"LOSSD_CPU_THREADS", "8"}};
  const auto line = Read({"--cpu_threads=1"});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.rpc_threads, 7);
  EXPECT_EQ(line->config.cpu_threads, 1);
}

TEST_F(Flags, OpenTelemetrysVariablesComeBeforeOurs) {
  environment_ = {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/"},
                  {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""},
                  {"OTEL_SERVICE_NAME", "team a"}};
  auto line = Read({});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.otlp_endpoint, "http://a:4318/v1/traces");
  EXPECT_EQ(line->config.otlp_service_name, "team a");
  environment_["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] = "https://b/traces";
  EXPECT_EQ(Read({})->config.otlp_endpoint, "https://b/traces");
  EXPECT_EQ(Read({"--otlp_endpoint="})->config.otlp_endpoint, "");
  environment_["LOSSD_OTLP_ENDPOINT"] = "http://c/v1/traces";
  EXPECT_EQ(Read({})->config.otlp_endpoint, "http://c/v1/traces");
}

TEST_F(Flags, ABadVariableOfOpenTelemetryIsRefusedWhereItIsUsed) {
  environment_ = {{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "b"}};
  EXPECT_TRUE(Read({"--version"}).ok());
  EXPECT_TRUE(Read({"--otlp_endpoint="}).ok());
  EXPECT_TRUE(Read({"--otlp_endpoint=http://c/v1/traces"}).ok());
  EXPECT_THAT(std::string(Read({}).status().message()),
              testing::StartsWith(
                  "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=b: must be a URL"));
}

TEST_F(Flags, AFlagFileStandsForItsLines) {
  const std::string path =
      Write("# a comment\n\n--rpc_threads=6\n--nochannelz\n");
  const auto line = Read({"--channelz", absl::StrCat("--flagfile=", path)});
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config.rpc_threads, 6);
  EXPECT_FALSE(line->config.channelz);
  environment_ = {{"LOSSD_FLAGFILE", path}};
  EXPECT_TRUE(Read({}).ok());
}

TEST_F(Flags, AFlagFileThatNamesItselfIsRefused) {
  const std::string itself = absl::StrCat("--flagfile=", file_.string());
  Write(itself + "\n");
  const absl::Status status = Read({itself}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("name itself?"));
}

TEST_F(Flags, HelpAndVersionArePrinted) {
  const auto help = Read({"--help"});
  ASSERT_TRUE(help.ok() && help->print.has_value());
  EXPECT_THAT(*help->print, HasSubstr("\nLimits:\n  --max_inflight_bytes="));
  EXPECT_THAT(*help->print, HasSubstr("\nSecurity:\n  --tls_cert=\n"));
  const auto short_help = Read({"-h"});
  ASSERT_TRUE(short_help.ok());
  EXPECT_EQ(short_help->print, help->print);
  const auto version = Read({"--version"});
  ASSERT_TRUE(version.ok() && version->print.has_value());
  EXPECT_THAT(*version->print, testing::StartsWith("lossd "));
}

TEST_F(Flags, CompletionHasEveryFlag) {
  Config config;
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto line = Read({"--completion", shell});
    ASSERT_TRUE(line.ok() && line->print.has_value()) << line.status();
    for (const FlagGroup& group : ConfigTable(config)) {
      for (const Flag& flag : group.flags) {
        EXPECT_THAT(*line->print,
                    testing::ContainsRegex("[ -]" + flag.name + "[= ]"))
            << shell;
        if (flag.value.is_switch) continue;
        EXPECT_THAT(*line->print,
                    HasSubstr(absl::StrJoin(flag.value.choices, " ")))
            << flag.name;
      }
    }
    for (const char* other : {"flagfile", "help", "version", "completion"}) {
      EXPECT_THAT(*line->print, HasSubstr(other)) << shell;
    }
  }
}

TEST_F(Flags, EveryNameThatAShellOffersIsAccepted) {
  Config config;
  Write("a-token\n");
  const std::string tokens = absl::StrCat("--token_file=", file_.string());
  for (const FlagGroup& group : ConfigTable(config)) {
    for (const Flag& flag : group.flags) {
      for (const std::string& choice : flag.value.choices) {
        const std::string argument = absl::StrCat("--", flag.name, "=", choice);
        EXPECT_TRUE(Read({argument, tokens}).ok()) << argument;
      }
    }
  }
}

struct BadFlag {
  std::string argument;
  std::string named;
};

TEST_F(Flags, WhatMakesNoSenseIsSaidInOneLine) {
  for (const BadFlag& bad : std::vector<BadFlag>{
           {"--nosuch=1", "--nosuch"},
           {"--nosuch", "--nosuch"},
           {"stray", "stray"},
           {"--rpc_threads", "--rpc_threads"},
           {"--rpc_threads=many",
            "--rpc_threads=many: must be a whole number of 32 bits"},
           {"--max_inflight_bytes=1GB",
            "--max_inflight_bytes=1GB: must be a whole number of 64 bits"},
           {"--channelz=maybe", "--channelz=maybe: must be true or false"},
           {"--rpc_threads=-1", "--rpc_threads=-1"},
           {"--max_batch_requests=0", "--max_batch_requests=0"},
           {"--max_message_bytes=9999999999", "--max_message_bytes=9999999999"},
           {"--max_queue_delay=-1s", "--max_queue_delay=-1s"},
           {"--stream_idle_timeout=-1s", "--stream_idle_timeout=-1s"},
           {"--max_queue_delay=soon", "--max_queue_delay=soon"},
           {"--listen=nowhere", "--listen=nowhere"},
           {"--listen=:1", "--listen=:1"},
           {"--listen=127.0.0.1:70000", "--listen=127.0.0.1:70000"},
           {"--metrics_listen=", "--metrics_listen="},
           {"--backend=tpu", "--backend=tpu"},
           {"--cuda_devices=one", "one"},
           {"--max_pinned_bytes=1000", "--max_pinned_bytes=1000"},
           {"--log_format=xml", "--log_format=xml"},
           {"--completion=tcsh",
            "--completion=tcsh: must be bash, zsh or fish"},
           {"--completion", "--completion needs a value"},
           {"--tls_cert=/dev/null", "--tls_key"},
           {"--tls_client_ca=/dev/null", "--tls_client_ca"},
           {"--token_file=/nonexistent", "--token_file=/nonexistent"},
           {"--shared_memory_socket=" + std::string(200, 'x'),
            "--shared_memory_socket"},
           {"--max_shared_memory_bytes=-1", "--max_shared_memory_bytes=-1"},
           {"--unix_socket=" + std::string(200, 'x'), "--unix_socket"},
           {"--unix_socket=/no/such/folder/socket",
            "--unix_socket=/no/such/folder/socket: must be in a directory, and "
            "/no/such/folder is not there"},
           {"--shared_memory_socket=/no/such/folder/socket",
            "--shared_memory_socket=/no/such/folder/socket: must be in a "
            "directory, and /no/such/folder is not there"},
           {"--flagfile=/", "--flagfile=/: must be a file that can be read"},
           {"--flagfile=/nonexistent", "--flagfile=/nonexistent"}}) {
    const auto line = Read({bad.argument});
    ASSERT_TRUE(absl::IsInvalidArgument(line.status())) << bad.argument;
    const std::string message(line.status().message());
    EXPECT_THAT(message, HasSubstr(bad.named));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
  }
}

TEST_F(Flags, ABadDurationIsAnsweredWithAGoodOne) {
  for (const char* flag : {"--drain_timeout", "--max_queue_delay"}) {
    for (const char* value : {"5", "-1s", "abc", "", "1h1", "inf"}) {
      const std::string argument = absl::StrCat(flag, "=", value);
      const auto line = Read({argument});
      ASSERT_TRUE(absl::IsInvalidArgument(line.status())) << argument;
      const std::string message(line.status().message());
      EXPECT_THAT(message, HasSubstr(absl::StrCat(argument, ": must be ")));
      EXPECT_THAT(message, HasSubstr("such as 200us or 5s"));
      EXPECT_THAT(message, Not(HasSubstr("\n")));
    }
  }
}

TEST_F(Flags, ABadVariableIsNamed) {
  environment_ = {{"LOSSD_RPC_THREADS", "x"}};
  EXPECT_EQ(Read({}).status().message(),
            "LOSSD_RPC_THREADS=x: must be a whole number of 32 bits");
}

TEST_F(Flags, ABadLineOfAFileIsNamedWithTheFile) {
  const std::string path = Write("--rpc_threads=2\n--cpu_threads=x\n");
  EXPECT_EQ(Read({"--flagfile", path}).status().message(),
            absl::StrCat("--flagfile=", path,
                         ": --cpu_threads=x: must be a whole number of 32 "
                         "bits"));
  environment_ = {{"LOSSD_FLAGFILE", path}};
  EXPECT_THAT(std::string(Read({}).status().message()),
              testing::StartsWith(absl::StrCat("LOSSD_FLAGFILE=", path, ": ")));
}

TEST_F(Flags, OnlyTheLastValueIsHeldAgainstItsRange) {
  environment_ = {{"LOSSD_RPC_THREADS", "-1"}};
  EXPECT_TRUE(Read({"--rpc_threads=1"}).ok());
  EXPECT_EQ(Read({}).status().message(),
            "--rpc_threads=-1: must be in [0, 1024]");
}

}  // namespace
}  // namespace lossd
