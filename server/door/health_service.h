// grpc.health.v1.Health, Check and Watch, for "" and the loss service.
#ifndef LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_
#define LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_

#include <grpcpp/impl/codegen/service_type.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace lossd::door {

// gRPC's own health service is built on the callback API, whose threads poll
// the sockets beside ours and take work from under them: a lone small request
// took half as long again. This one is answered by gRPC's synchronous threads,
// which do not poll. Its messages have one field each and are written by hand.
// Thread-safe.
class HealthService final : public grpc::Service {  // D3
 public:
  // `service` is the name that is known beside "".
  explicit HealthService(absl::string_view service);

  // What Check answers and watchers are told.
  void SetServing(bool serving);

  // Ends all watches, after they have been told the last status.
  void EndWatches();

  grpc::Status Check(grpc::ServerContext* context,
                     const grpc::ByteBuffer* request,
                     grpc::ByteBuffer* response);

  // Each watch holds a thread of gRPC's, hence their number is limited: beyond
  // it RESOURCE_EXHAUSTED.
  grpc::Status Watch(grpc::ServerContext* context,
                     const grpc::ByteBuffer* request,
                     grpc::ServerWriter<grpc::ByteBuffer>* writer);

 private:
  bool Knows(absl::string_view service) const {
    return service.empty() || service == service_;
  }
  grpc::Status Follow(grpc::ServerContext* context, bool known,
                      grpc::ServerWriter<grpc::ByteBuffer>* writer);

  const std::string service_;
  absl::Mutex mu_;
  bool serving_ ABSL_GUARDED_BY(mu_) = false;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  int watches_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_HEALTH_SERVICE_H_
