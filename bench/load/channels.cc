#include "bench/load/channels.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/channel_arguments.h>

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
  auto connections = client::Connections::Open({.target = target});
  if (!connections.ok()) return connections.status();
  return Channels{(*connections)->Take()};
}

}  // namespace lossd::bench
