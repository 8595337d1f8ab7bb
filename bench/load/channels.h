// The channels that a load's calls take.
#ifndef LOSSD_BENCH_LOAD_CHANNELS_H_
#define LOSSD_BENCH_LOAD_CHANNELS_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lossd::bench {

using Channels = std::vector<std::shared_ptr<grpc::Channel>>;

// Opens `count` channels to one server, with a connection each and the same
// options for lossd and for a peer.
Channels OpenChannels(const std::string& target, int count);

// Opens a channel as lossd's C++ client does, which reaches any of the servers
// that `target` names. Errors: those of client::Connections::Open().
absl::StatusOr<Channels> OpenClientChannel(const std::string& target);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_CHANNELS_H_
