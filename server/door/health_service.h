// grpc.health.v1.Health, Check and Watch, for "" and the loss service.
#ifndef LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_
#define LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_

#include <grpcpp/server_context.h>

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace lossd::door {

// Knows the health, answers Check on gRPC's own threads, and tells watchers of
// each change. HealthWatch answers Watch, on the threads of the completion
// queues. gRPC's own health service is built on the callback API, whose threads
// poll the sockets beside ours and take work from under them: a lone small
// request took half as long again (D3, D56). Thread-safe.
class HealthService final
    : public grpc::health::v1::Health::WithAsyncMethod_Watch<
          grpc::health::v1::Health::Service> {
 public:
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;

  // The most watches at once. A watch costs memory, and no thread.
  static constexpr size_t kMaxWatches = size_t{1} << 14;

  struct Health {
    bool serving = false;
    bool ended = false;  // watches are to end
  };

  // One watch. OnNews() may come from any thread and under a lock, so it only
  // passes the news on to the watch's own thread, which then calls Read().
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void OnNews() = 0;
  };

  // `service` is the name that is known beside "".
  explicit HealthService(absl::string_view service) : service_(service) {}

  // Sets the status that Check answers and watchers are told.
  void SetServing(bool serving);
  // Returns whether the status is SERVING.
  bool serving() const;

  // Ends all watches, after they have been told the last status.
  void EndWatches();

  bool Knows(absl::string_view service) const {
    return service.empty() || service == service_;
  }

  // Adds a watcher, whose first news come at once. Returns false, and adds
  // none, beyond kMaxWatches.
  bool Follow(Watcher* watcher);
  // Returns the health. OnNews() comes again when it differs from this.
  Health Read(Watcher* watcher);
  // Removes a watcher. Returns true if OnNews() was called after its last
  // Read().
  bool Unfollow(Watcher* watcher);

  grpc::Status Check(grpc::ServerContext* context, const Request* request,
                     Response* response) override;

 private:
  void Change(Health health) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const std::string service_;
  mutable absl::Mutex mu_;
  Health health_ ABSL_GUARDED_BY(mu_);
  // Each watcher, and whether it was told that there is something to read.
  absl::flat_hash_map<Watcher*, bool> told_ ABSL_GUARDED_BY(mu_);
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_
