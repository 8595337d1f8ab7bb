// grpc.health.v1.Health, Check and Watch, for "" and the loss service.
#ifndef LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_
#define LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_

#include <grpcpp/server_context.h>
#include <grpcpp/support/sync_stream.h>

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace lossd::door {

// gRPC's own health service is built on the callback API, whose threads poll
// the sockets beside ours and take work from under them: a lone small request
// took half as long again. This one is answered by gRPC's synchronous threads,
// which do not poll (D3). Thread-safe.
class HealthService final : public grpc::health::v1::Health::Service {
 public:
  using Request = grpc::health::v1::HealthCheckRequest;
  using Response = grpc::health::v1::HealthCheckResponse;

  // `service` is the name that is known beside "".
  explicit HealthService(absl::string_view service) : service_(service) {}

  // Sets the status that Check answers and watchers are told.
  void SetServing(bool serving);

  // Returns whether the status is SERVING.
  bool serving() const;

  // Ends all watches, after they have been told the last status.
  void EndWatches();

  grpc::Status Check(grpc::ServerContext* context, const Request* request,
                     Response* response) override;

  // Each watch holds a thread of gRPC's, so at most 64 are open at once; beyond
  // them a watch is RESOURCE_EXHAUSTED.
  grpc::Status Watch(grpc::ServerContext* context, const Request* request,
                     grpc::ServerWriter<Response>* writer) override;

 private:
  bool Knows(absl::string_view service) const {
    return service.empty() || service == service_;
  }
  // Writes each new status until the client has gone or EndWatches().
  void Follow(grpc::ServerContext* context, bool known,
              grpc::ServerWriter<Response>* writer);

  const std::string service_;
  mutable absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  int watches_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_
