#include "server/door/transport.h"

#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstddef>

namespace lossd::door {
namespace {

// gRPC's own threads, each held by one health check, watch, reflection stream
// or other call but for losses: beyond them such calls are RESOURCE_EXHAUSTED.
// Without a limit a client has as many threads made as it opens streams.
constexpr int kMaxGrpcThreads = 512;  // D23

// gRPC reads a socket into pieces of 8 KiB until it has seen that more comes at
// once, and of 64 KiB, its largest, from then on. With this least it takes the
// large ones for tensors from the first byte: a million float32 elements cost
// a sixth less processor time.
constexpr int kMinReadBytes = 64 << 10;  // D22

// What connections and calls take beside their messages.
constexpr int64_t kOwnBytes = int64_t{64} << 20;

// gRPC reads all of a unary call's message before it hands the call over, and
// for any number of calls at once: admission would come too late for those.
size_t MemoryFor(const TransportOptions& options) {  // D23
  constexpr int64_t most = int64_t{1} << 60;  // for the sum not to overflow
  const int64_t admitted = std::min(options.max_inflight_bytes, most);
  return static_cast<size_t>(2 * admitted + options.max_message_bytes +
                             kOwnBytes);
}

void Limit(const TransportOptions& options, grpc::ServerBuilder* builder) {
  grpc::ResourceQuota quota("lossd");
  quota.SetMaxThreads(kMaxGrpcThreads);
  quota.Resize(MemoryFor(options));
  builder->SetResourceQuota(quota);
  builder->SetMaxReceiveMessageSize(
      static_cast<int>(options.max_message_bytes));
  // gRPC decompresses before it looks at the message's size, so that a
  // thousandth of it would take all of the machine's memory. Tensors gain
  // little by gzip.
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    builder->SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
}

// Two servers must not share a port unnoticed. The rest is work for each call
// that nobody asked for: filters that would (de)compress messages, which are
// refused before they get there, and counts that nobody can ask for.
void LeaveOut(const TransportOptions& options, grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ,
                              options.channelz ? 1 : 0);
}

}  // namespace

void SetUpTransport(const TransportOptions& options,
                    grpc::ServerBuilder* builder) {
  Limit(options, builder);
  LeaveOut(options, builder);
  builder->AddChannelArgument(GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, kMinReadBytes);
}

}  // namespace lossd::door
