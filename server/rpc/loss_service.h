// The gRPC service: it takes losses as raw bytes from completion queues.
#ifndef LOSSD_SERVER_RPC_LOSS_SERVICE_H_
#define LOSSD_SERVER_RPC_LOSS_SERVICE_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstdint>

#include "lossd/v1/loss_service.grpc.pb.h"
#include "server/rpc/call_context.h"

namespace lossd::rpc {

// ComputeLossCall answers ComputeLoss, StreamLossCall StreamLoss, and
// ComputeLossesCall ComputeLosses.
// GetServerInfo is rare and cheap, so gRPC's own threads answer it.
// Thread-safe.
class LossService final : public v1::LossService::WithRawMethod_StreamLoss<
                              v1::LossService::WithRawMethod_ComputeLosses<
                                  v1::LossService::Service>> {
 public:
  using ComputeLossStream =
      grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  // Borrows `call_context`. GetServerInfo answers with `info`.
  LossService(const CallContext* call_context, v1::GetServerInfoResponse info);

  grpc::Status GetServerInfo(grpc::ServerContext* context,
                             const v1::GetServerInfoRequest* request,
                             v1::GetServerInfoResponse* response) override;

  // Asks gRPC for a ComputeLoss, which is handed over as soon as its headers
  // are there. Its one message is received only when `stream` is read, so that
  // a call can wait, or be refused, while the client still has the message.
  void RequestComputeLoss(grpc::ServerContext* context,
                          ComputeLossStream* stream,
                          grpc::ServerCompletionQueue* queue, void* tag);

  int64_t max_message_bytes() const { return info_.max_message_bytes(); }

 private:
  const CallContext* const call_context_;
  const v1::GetServerInfoResponse info_;
};

// Fills in the part of `info` that depends on the build alone: kinds, dtypes,
// streaming.
void DescribeBuild(v1::GetServerInfoResponse* info);

}  // namespace lossd::rpc

#endif  // LOSSD_SERVER_RPC_LOSS_SERVICE_H_
