#include "server/rpc/stream_reply.h"

#include <string>
#include <utility>

#include "server/rpc/reply_writer.h"
#include "server/wire/wire_format.h"

namespace lossd::rpc {

grpc::ByteBuffer WriteStreamBytes(uint32_t field, Buffer payload,
                                  const std::shared_ptr<BufferPool>& pool) {
  std::string header;
  wire::AppendTag({field, wire::kLength}, &header);
  wire::AppendVarint(payload.size(), &header);
  grpc::Slice slices[] = {grpc::Slice(header), Lend(std::move(payload), pool)};
  return grpc::ByteBuffer(slices, 2);
}

grpc::ByteBuffer WriteStreamSummary(v1::StreamLossSummary summary) {
  v1::StreamLossResponse response;
  *response.mutable_summary() = std::move(summary);
  const grpc::Slice slice(response.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace lossd::rpc
