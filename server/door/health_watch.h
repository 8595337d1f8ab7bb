// A call of Health/Watch.
#ifndef LOSSD_SERVER_DOOR_HEALTH_WATCH_H_
#define LOSSD_SERVER_DOOR_HEALTH_WATCH_H_

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <optional>

#include "absl/status/status.h"
#include "server/door/health_service.h"
#include "server/door/queue_call.h"

namespace lossd::door {

// Tells one client the status of a service, first at once and then at each
// change. A client that reads slowly is told the newest status when it has read
// the one before. An unknown service is SERVICE_UNKNOWN for as long as the
// watch is open. The watch ends with UNAVAILABLE when the server does, so that
// the client watches another one.
class HealthWatch final : public QueueCall, private HealthService::Watcher {
 public:
  // Borrows both.
  HealthWatch(HealthService* service, grpc::ServerCompletionQueue* queue)
      : service_(service), queue_(queue) {}

  void Listen() override;
  bool OnEvent(int event, bool ok) override;
  bool ended() const override { return tags_ == 0 && !news_due_; }
  void Reset() override;

 private:
  using Status = HealthService::Response::ServingStatus;
  enum Event { kNews = kRequest + 1, kWritten, kFinished, kDone };

  // Runs on any thread: sets the alarm whose event is kNews.
  void OnNews() override;

  void Begin();
  void OnNewsEvent();
  // Starts the next operation, if there is one and none is under way.
  void Advance();
  void Write(Status status);
  void Finish(const absl::Status& status);

  HealthService* const service_;
  grpc::ServerCompletionQueue* const queue_;
  Tag request_tag_{this, kRequest};
  Tag news_tag_{this, kNews};
  Tag written_tag_{this, kWritten};
  Tag finished_tag_{this, kFinished};
  Tag done_tag_{this, kDone};
  grpc::Alarm news_;

  // --- state of one RPC; Reset() resets it ---
  std::optional<grpc::ServerContext> context_;
  std::optional<grpc::ServerAsyncWriter<HealthService::Response>> writer_;
  HealthService::Request request_;
  int tags_ = 0;            // that gRPC holds, without the alarm's
  bool news_due_ = false;   // the alarm's tag comes, although nobody follows
  bool following_ = false;  // the service calls OnNews()
  bool writing_ = false;
  bool finishing_ = false;
  bool gone_ = false;  // the client, or its connection
  HealthService::Health health_;
  std::optional<Status> newest_;  // that the service has
  std::optional<Status> told_;    // that the client has, or gets
};

}  // namespace lossd::door

#endif  // LOSSD_SERVER_DOOR_HEALTH_WATCH_H_
