#include "server/rpc/loss_service.h"

#include <utility>

#include "server/rpc/spec_validation.h"
#include "server/rpc/status.h"
#include "server/rpc/tensor_validation.h"

namespace lossd::rpc {
namespace {

using observability::Method;

// Counts a call that ends when the handler returns.
grpc::Status Counted(const Services& services, Method method,
                     absl::Time received, const absl::Status& status) {
  services.metrics->CallFinished(method, status.code(),
                                 services.clock->Now() - received);
  return ToGrpcStatus(status, {});
}

}  // namespace

LossService::LossService(const Services* services,
                         v1::GetServerInfoResponse info)
    : services_(services), info_(std::move(info)) {}

grpc::Status LossService::GetServerInfo(
    grpc::ServerContext* context, const v1::GetServerInfoRequest* /*request*/,
    v1::GetServerInfoResponse* response) {
  const absl::Time received = services_->clock->Now();
  services_->metrics->CallAccepted(Method::kGetServerInfo);
  const absl::Status status = services_->authenticator->Check(*context);
  if (status.ok()) *response = info_;
  return Counted(*services_, Method::kGetServerInfo, received, status);
}

void DescribeBuild(v1::GetServerInfoResponse* info) {
  for (const v1::LossKind kind : kLossKinds) info->add_loss_kinds(kind);
  for (const auto type : LogitsTypes()) info->add_logits_dtypes(ToProto(type));
  for (const auto type : TargetsTypes())
    info->add_targets_dtypes(ToProto(type));
  info->set_supports_streaming(true);
}

}  // namespace lossd::rpc
