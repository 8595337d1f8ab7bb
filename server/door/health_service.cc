#include "server/door/health_service.h"

#include <optional>

#include "absl/time/time.h"
#include "server/door/status.h"

namespace lossd::door {
namespace {

using Response = HealthService::Response;

constexpr int kMaxWatches = 64;

// How soon a watch notices that its client has gone.
constexpr absl::Duration kLookForClient = absl::Milliseconds(200);

Response::ServingStatus StatusOf(bool serving) {
  return serving ? Response::SERVING : Response::NOT_SERVING;
}

}  // namespace

void HealthService::SetServing(bool serving) {
  absl::MutexLock lock(&mu_);
  serving_ = serving;
}

bool HealthService::serving() const {
  absl::MutexLock lock(&mu_);
  return serving_;
}

void HealthService::EndWatches() {
  absl::MutexLock lock(&mu_);
  ended_ = true;
}

grpc::Status HealthService::Check(grpc::ServerContext* /*context*/,
                                  const Request* request, Response* response) {
  if (!Knows(request->service())) {
    return ToGrpcStatus(absl::NotFoundError("no service of this name"), {});
  }
  absl::MutexLock lock(&mu_);
  response->set_status(StatusOf(serving_));
  return grpc::Status::OK;
}

grpc::Status HealthService::Watch(grpc::ServerContext* context,
                                  const Request* request,
                                  grpc::ServerWriter<Response>* writer) {
  {
    absl::MutexLock lock(&mu_);
    if (watches_ >= kMaxWatches) {
      return ToGrpcStatus(
          absl::ResourceExhaustedError("too many health watches"), {});
    }
    ++watches_;
  }
  Follow(context, Knows(request->service()), writer);
  absl::MutexLock lock(&mu_);
  --watches_;
  return ToGrpcStatus(absl::CancelledError("the watch ended"), {});
}

void HealthService::Follow(grpc::ServerContext* context, bool known,
                           grpc::ServerWriter<Response>* writer) {
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
      Response response;
      response.set_status(known ? StatusOf(serving)
                                : Response::SERVICE_UNKNOWN);
      if (!writer->Write(response)) return;
      told = serving;
    }
    if (ended) return;
  }
}

}  // namespace lossd::door
