#include "server/door/transport.h"

#include <grpc/impl/codegen/grpc_types.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_builder.h>

#include <cstddef>

namespace lossd::door {
namespace {

// The most threads that gRPC may have. Each health check, watch and reflection
// stream holds one; beyond this limit such calls are RESOURCE_EXHAUSTED. Calls
// for losses hold none. Without a limit, each stream that a client opens would
// start a thread.
constexpr int kMaxGrpcThreads = 512;  // D23

// gRPC first reads a socket into pieces of 8 KiB and goes on to 64 KiB, its
// largest, once it has seen that more arrives at a time. With this minimum it
// uses 64 KiB from the first byte: a request of a million float32 elements
// costs a sixth less processor time.
constexpr int kMinReadBytes = 64 << 10;  // D22

void Limit(const TransportOptions& options, grpc::ServerBuilder* builder) {
  grpc::ResourceQuota quota("lossd");
  quota.SetMaxThreads(kMaxGrpcThreads);
  quota.Resize(static_cast<size_t>(options.memory_bytes));
  builder->SetResourceQuota(quota);
  builder->SetMaxReceiveMessageSize(
      static_cast<int>(options.max_message_bytes));
  // gRPC decompresses before it looks at the message's size, so a message a
  // thousand times smaller than the machine's memory could fill it. Tensors
  // gain little from gzip.
  for (const auto algorithm : {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    builder->SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
}

// Leaves out filters that (de)compress messages, because compressed messages
// are refused before they get there; timers that end calls at their deadlines,
// because RpcCall::OnSweep() does, and ends of calls that wait for one thread
// pile up without a limit (D100); and counts that no service returns.
void TurnOff(const TransportOptions& options, grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_DEADLINE_CHECKS, 0);
  builder->AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ,
                              options.channelz ? 1 : 0);
}

// gRPC by itself allows a ping every 5 minutes, and every 2 hours while there
// is no call.
void AllowPings(const TransportOptions& options, grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
      static_cast<int>(
          absl::ToInt64Milliseconds(options.keepalive_min_interval)));
}

// The header list of a call, as RFC 9113 counts it: 32 bytes for each header,
// and its name and value. A larger one ends its call. gRPC has the same limit
// unless it is told another; a token takes some hundred bytes of it.
constexpr int kMaxMetadataBytes = 8 << 10;

// Calls that a client may have open on one connection. Clients make a further
// one wait, and gRPC ends the connection of one that does not. A proxy carries
// all its clients' calls over a few connections; beyond
// --max_inflight_requests lossd refuses calls, but gRPC has their headers by
// then.
constexpr int kMaxStreams = 1 << 14;

void LimitWhatComesBeforeCalls(const TransportOptions& options,
                               grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  builder->AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
  builder->AddChannelArgument(
      GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
      static_cast<int>(absl::ToInt64Milliseconds(options.handshake_timeout)));
}

// A client may send this much of a message before the call is let in. Most
// small requests are smaller and wait for no permission; a call that is refused
// has cost no more. gRPC would else widen the window to 4 MiB and more.
constexpr int kWindowBytes = 16 << 10;  // D51

// gRPC enlarges frames only together with windows. With frames of 16 KiB it
// asks for permission so often that 8 MiB cost a tenth more processor time.
constexpr int kFrameBytes = 1 << 20;

void LeaveTheRestWithTheClient(grpc::ServerBuilder* builder) {
  builder->AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES,
                              kWindowBytes);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kFrameBytes);
}

}  // namespace

void SetUpTransport(const TransportOptions& options,
                    grpc::ServerBuilder* builder) {
  Limit(options, builder);
  TurnOff(options, builder);
  AllowPings(options, builder);
  LimitWhatComesBeforeCalls(options, builder);
  LeaveTheRestWithTheClient(builder);
  builder->AddChannelArgument(GRPC_ARG_TCP_MIN_READ_CHUNK_SIZE, kMinReadBytes);
}

}  // namespace lossd::door
