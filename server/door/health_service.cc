#include "server/door/health_service.h"

#include <grpcpp/impl/codegen/rpc_service_method.h>
#include <grpcpp/support/method_handler.h>

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "server/wire/slice_cursor.h"

namespace lossd::door {
namespace {

constexpr int kMaxWatches = 64;

// How soon a watch notices that its client has gone.
constexpr absl::Duration kLookForClient = absl::Milliseconds(200);

// HealthCheckResponse.ServingStatus.
enum ServingStatus : char {
  kServing = 1,
  kNotServing = 2,
  kServiceUnknown = 3
};

// HealthCheckResponse { ServingStatus status = 1; }
grpc::ByteBuffer Response(ServingStatus status) {
  const char bytes[] = {1 << 3, status};
  const grpc::Slice slice(bytes, sizeof(bytes));
  return grpc::ByteBuffer(&slice, 1);
}

// HealthCheckRequest { string service = 1; }: nothing if it is anything else.
std::optional<std::string> ServiceOf(const grpc::ByteBuffer& request) {
  std::vector<grpc::Slice> slices;
  if (!request.Dump(&slices).ok()) return std::nullopt;
  wire::SliceCursor cursor(slices);
  if (cursor.left() == 0) return "";
  uint64_t tag;
  uint64_t size;
  if (!cursor.ReadVarint(&tag) || tag != (1 << 3 | 2) ||
      !cursor.ReadVarint(&size) || size != cursor.left()) {
    return std::nullopt;
  }
  std::string service;
  cursor.Copy(size, &service);
  return service;
}

grpc::Status BadRequest() {
  return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                      "not a grpc.health.v1.HealthCheckRequest");
}

}  // namespace

HealthService::HealthService(absl::string_view service) : service_(service) {
  using grpc::ByteBuffer;
  using grpc::internal::RpcMethod;
  using grpc::internal::RpcServiceMethod;
  AddMethod(new RpcServiceMethod(
      "/grpc.health.v1.Health/Check", RpcMethod::NORMAL_RPC,
      new grpc::internal::RpcMethodHandler<HealthService, ByteBuffer,
                                           ByteBuffer, ByteBuffer, ByteBuffer>(
          [](HealthService* self, grpc::ServerContext* context,
             const ByteBuffer* request, ByteBuffer* response) {
            return self->Check(context, request, response);
          },
          this)));
  AddMethod(new RpcServiceMethod(
      "/grpc.health.v1.Health/Watch", RpcMethod::SERVER_STREAMING,
      new grpc::internal::ServerStreamingHandler<HealthService, ByteBuffer,
                                                 ByteBuffer>(
          [](HealthService* self, grpc::ServerContext* context,
             const ByteBuffer* request,
             grpc::ServerWriter<ByteBuffer>* writer) {
            return self->Watch(context, request, writer);
          },
          this)));
}

void HealthService::SetServing(bool serving) {
  absl::MutexLock lock(&mu_);
  serving_ = serving;
}

void HealthService::EndWatches() {
  absl::MutexLock lock(&mu_);
  ended_ = true;
}

grpc::Status HealthService::Check(grpc::ServerContext* /*context*/,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) {
  const std::optional<std::string> service = ServiceOf(*request);
  if (!service.has_value()) return BadRequest();
  if (!Knows(*service)) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no service of this name");
  }
  absl::MutexLock lock(&mu_);
  *response = Response(serving_ ? kServing : kNotServing);
  return grpc::Status::OK;
}

grpc::Status HealthService::Watch(
    grpc::ServerContext* context, const grpc::ByteBuffer* request,
    grpc::ServerWriter<grpc::ByteBuffer>* writer) {
  const std::optional<std::string> service = ServiceOf(*request);
  if (!service.has_value()) return BadRequest();
  {
    absl::MutexLock lock(&mu_);
    if (watches_ >= kMaxWatches) {
      return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                          "too many health watches");
    }
    ++watches_;
  }
  const grpc::Status status = Follow(context, Knows(*service), writer);
  absl::MutexLock lock(&mu_);
  --watches_;
  return status;
}

grpc::Status HealthService::Follow(
    grpc::ServerContext* context, bool known,
    grpc::ServerWriter<grpc::ByteBuffer>* writer) {
  std::optional<bool> told;
  while (!context->IsCancelled()) {
    bool serving;
    bool ended;
    {
      absl::MutexLock lock(&mu_);
      const auto has_news = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
        return ended_ || told != serving_;
      };
      mu_.AwaitWithTimeout(absl::Condition(&has_news), kLookForClient);
      serving = serving_;
      ended = ended_;
    }
    if (told != serving) {
      const ServingStatus known_status = serving ? kServing : kNotServing;
      if (!writer->Write(Response(known ? known_status : kServiceUnknown)))
        break;
      told = serving;
    }
    if (ended) break;
  }
  return grpc::Status(grpc::StatusCode::CANCELLED, "the watch ended");
}

}  // namespace lossd::door
