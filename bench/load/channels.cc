#include "bench/load/channels.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "client/cpp/connections.h"

namespace lossd::bench {

Channels OpenChannels(const std::string& target, int count) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // A connection for each channel.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  Channels channels;
  for (int i = 0; i < count; ++i) {
    channels.push_back(grpc::CreateCustomChannel(
        target, grpc::InsecureChannelCredentials(), arguments));
  }
  return channels;
}

absl::StatusOr<Channels> OpenClientChannel(const std::string& target) {
  const auto warn = [](const std::string& warning) {
    std::fputs(absl::StrCat("lossbench: warning: ", warning, "\n").c_str(),
               stderr);
  };
  auto connections =
      client::Connections::Open({.target = target, .on_warning = warn});
  if (!connections.ok()) return connections.status();
  return Channels{(*connections)->Take()};
}

}  // namespace lossd::bench
