#include "server/door/health_service.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/door/status.h"

namespace lossd::door {

void HealthService::SetServing(bool serving) {
  absl::MutexLock lock(&mu_);
  Change({.serving = serving, .ended = health_.ended});
}

bool HealthService::serving() const {
  absl::MutexLock lock(&mu_);
  return health_.serving;
}

void HealthService::EndWatches() {
  absl::MutexLock lock(&mu_);
  Change({.serving = health_.serving, .ended = true});
}

void HealthService::Change(Health health) {
  health_ = health;
  for (auto& [watcher, told] : told_) {
    if (!std::exchange(told, true)) watcher->OnNews();
  }
}

bool HealthService::Follow(Watcher* watcher) {
  absl::MutexLock lock(&mu_);
  if (told_.size() >= kMaxWatches) return false;
  told_[watcher] = true;
  watcher->OnNews();
  return true;
}

HealthService::Health HealthService::Read(Watcher* watcher) {
  absl::MutexLock lock(&mu_);
  told_[watcher] = false;
  return health_;
}

bool HealthService::Unfollow(Watcher* watcher) {
  absl::MutexLock lock(&mu_);
  const auto found = told_.find(watcher);
  if (found == told_.end()) return false;
  const bool told = found->second;
  told_.erase(found);
  return told;
}

grpc::Status HealthService::Check(grpc::ServerContext* /*context*/,
                                  const Request* request, Response* response) {
  if (!Knows(request->service())) {
    constexpr size_t kMostShown = 64;
    return ToGrpcStatus(
        absl::NotFoundError(absl::StrCat(
            "service: \"",
            absl::CHexEscape(request->service().substr(0, kMostShown)),
            "\" is neither empty nor ", service_)),
        {});
  }
  response->set_status(serving() ? Response::SERVING : Response::NOT_SERVING);
  return grpc::Status::OK;
}

}  // namespace lossd::door
