#include "server/rpc/loss_service.h"

#include <utility>

#include "base/data_type.h"
#include "server/door/status.h"
#include "server/observability/log.h"
#include "server/request/spec.h"
#include "server/rpc/call_log.h"

namespace lossd::rpc {
namespace {

using observability::Method;

// The method's place in the service's declaration.
constexpr int kComputeLossIndex = 0;

// Counts and logs a call that ends when the handler returns.
grpc::Status Counted(const CallContext& call_context,
                     const grpc::ServerContext& context, Method method,
                     absl::Time received, const absl::Status& status) {
  const absl::Duration latency = call_context.clock->Now() - received;
  call_context.metrics->RecordCallFinished(method, status.code(), latency);
  if (observability::LogsRequests()) {
    LogCall({.method = method,
             .code = status.code(),
             .latency = latency,
             .peer = call_context.connections->NameOf(context.peer()),
             .reason = std::string(status.message())});
  }
  return door::ToGrpcStatus(status, {});
}

}  // namespace

LossService::LossService(const CallContext* call_context,
                         v1::GetServerInfoResponse info)
    : call_context_(call_context), info_(std::move(info)) {
  // For gRPC's server a unary method is a stream of one message each way. Told
  // so, it does not read the message by itself.
  MarkMethodStreamed(kComputeLossIndex, nullptr);
  MarkMethodRaw(kComputeLossIndex);
}

void LossService::RequestComputeLoss(grpc::ServerContext* context,
                                     ComputeLossStream* stream,
                                     grpc::ServerCompletionQueue* queue,
                                     void* tag) {
  RequestAsyncBidiStreaming(kComputeLossIndex, context, stream, queue, queue,
                            tag);
}

grpc::Status LossService::GetServerInfo(
    grpc::ServerContext* context, const v1::GetServerInfoRequest* /*request*/,
    v1::GetServerInfoResponse* response) {
  const absl::Time received = call_context_->clock->Now();
  call_context_->metrics->RecordCallAccepted(Method::kGetServerInfo);
  // Every client with a token may know what the server can do.
  const absl::Status status =
      call_context_->authenticator->PermissionsOf(*context).status();
  if (status.ok()) *response = info_;
  return Counted(*call_context_, *context, Method::kGetServerInfo, received,
                 status);
}

void DescribeBuild(v1::GetServerInfoResponse* info) {
  for (const v1::LossKind kind : request::kLossKinds)
    info->add_loss_kinds(kind);
  for (const ElementType type : kFloatTypes)
    info->add_logits_dtypes(ToProto(type));
  for (const ElementType type : kElementTypes)
    info->add_targets_dtypes(ToProto(type));
  info->set_supports_streaming(true);
}

}  // namespace lossd::rpc
