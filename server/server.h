// The composition root: builds the parts in order, tears them down in reverse.
#ifndef LOSSD_SERVER_SERVER_H_
#define LOSSD_SERVER_SERVER_H_

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_descriptor.h"
#include "server/admission/admission.h"
#include "server/admission/intake.h"
#include "server/backend.h"
#include "server/base/buffer_pool.h"
#include "server/base/clock.h"
#include "server/base/idle_watch.h"
#include "server/base/periodic.h"
#include "server/batching/batcher.h"
#include "server/config.h"
#include "server/defaults.h"
#include "server/door/authenticator.h"
#include "server/door/certificates.h"
#include "server/door/connections.h"
#include "server/door/entrance.h"
#include "server/door/health_service.h"
#include "server/execution/cuda/device.h"
#include "server/execution/executor.h"
#include "server/observability/exposer.h"
#include "server/observability/log_line.h"
#include "server/observability/metrics.h"
#include "server/observability/refusal_log.h"
#include "server/rpc/call_context.h"
#include "server/rpc/loss_service.h"
#include "server/rpc/rpc_threads.h"
#include "server/shared_memory/region_socket.h"
#include "server/shared_memory/region_table.h"
#include "server/tracing/batch_span_processor.h"

namespace lossd {

// A running server. Several may live in one process, as tests have them. One
// thread calls Shutdown(); the other members are thread-safe.
class Server {
 public:
  // Returns a server that answers. Errors:
  //   INVALID_ARGUMENT  the config makes no sense
  //   UNAVAILABLE       an address cannot be bound: a port in use
  //   others            the backend that was asked for is not there
  // Tests pass their own `open_devices`. Sockets in `handed_over` listen in
  // place of --listen or --unix_socket.
  static absl::StatusOr<std::unique_ptr<Server>> Create(
      const Config& config,
      const DeviceOpener& open_devices = &execution::cuda::OpenDevices,
      std::vector<FileDescriptor> handed_over = {});

  // Shuts down at once if nobody did before.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Return HOST:PORT as bound.
  const std::string& address() const { return entrance_->address(); }
  std::string metrics_address() const { return exposer_->address(); }
  // Returns what the log says at the start.
  const observability::LogFields& facts() const { return facts_; }
  std::string backend() const { return std::string(call_context_.backend); }

  // Makes health NOT_SERVING, so that balancers look elsewhere, and serves on.
  void AnnounceDrain() { health_service_.SetServing(false); }

  // Drains: health turns NOT_SERVING, no connection is accepted any more, new
  // requests are UNAVAILABLE, and accepted ones are computed and answered for
  // at most `drain_timeout`; those that then still wait in the queue are
  // answered UNAVAILABLE. Then connections end. Returns when every call has
  // ended: true if none was dropped.
  bool Shutdown(absl::Duration drain_timeout);

  // Begins to drain, and goes on serving accepted requests: when this has
  // returned, health is NOT_SERVING and new requests are UNAVAILABLE. The loss
  // of the last device of --backend=cuda does this too.
  void BeginDrain();

  // Reads certificates and tokens again, and says in the log what became of
  // each; the server does so by itself every ten seconds. The ones in use stay
  // where a file is not fit for use.
  void Reload();

  // For tests. Return the same numbers as the gauges.
  int64_t inflight_requests() const { return admission_->inflight_requests(); }
  int64_t inflight_bytes() const { return admission_->inflight_bytes(); }
  int64_t shared_memory_bytes() const { return regions_->bytes(); }
  int64_t lent_memory_bytes() const { return regions_->lent_bytes(); }

  // Returns true as soon as exactly this many are in flight, or false after
  // `timeout`.
  bool WaitForInflight(int64_t requests, absl::Duration timeout) {
    return admission_->WaitForRequests(requests, timeout);
  }
  const observability::Metrics& metrics() const { return *metrics_; }

 private:
  explicit Server(const Config& config);
  absl::Status BuildParts(const DeviceOpener& open_devices);
  // The parts by subject, in the order of construction.
  void BuildExecution(BackendChoice& choice);
  void BuildBudgets();
  void BuildServices(const v1::GetServerInfoResponse& info);

  absl::Status ServeRegions();
  absl::Status Listen(std::vector<FileDescriptor> handed_over);
  absl::Status ServePages();
  void AddServices(grpc::ServerBuilder* builder);
  void StartThreads();
  void OnTick();
  void GiveMemoryBack();

  // The steps of Shutdown(). The first returns whether all accepted requests
  // were answered by `end`.
  bool AnswerAccepted(absl::Time end);
  void EndIdleConnections();
  void AddGauges();
  std::map<std::string, int64_t> Refusals() const;

  const Machine machine_;
  const Config config_;
  std::string why_cpu_;  // BackendChoice::why_cpu
  // A member may borrow from those above it, which are destroyed later.
  SystemClock clock_;
  WallClock wall_clock_;
  std::shared_ptr<BufferPool> buffers_;
  std::unique_ptr<observability::Metrics> metrics_;
  std::unique_ptr<admission::AdmissionController> admission_;
  std::unique_ptr<admission::Intake> intake_;
  std::unique_ptr<batching::Batcher> batcher_;
  Executors executors_;
  std::unique_ptr<shared_memory::RegionTable> regions_;
  std::unique_ptr<shared_memory::RegionSocket> region_socket_;  // or null
  std::unique_ptr<door::Connections> connections_;
  std::unique_ptr<observability::Exposer> exposer_;
  std::unique_ptr<door::Authenticator> authenticator_;
  std::unique_ptr<door::Certificates> certificates_;  // null without TLS
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::unique_ptr<tracing::BatchSpanProcessor> spans_;  // or null
  rpc::CallContext call_context_{};
  door::HealthService health_service_{v1::LossService::service_full_name()};
  std::unique_ptr<rpc::LossService> loss_service_;
  std::unique_ptr<door::Entrance> entrance_;
  std::unique_ptr<grpc::Server> grpc_server_;
  std::vector<std::unique_ptr<rpc::RpcThread>> rpc_threads_;
  observability::LogFields facts_;
  observability::RefusalLog refusal_log_{[this] { return Refusals(); }};
  std::unique_ptr<Periodic> housekeeping_;
  // Used by the thread of `ticker_` alone.
  IdleWatch idle_watch_{absl::Minutes(1)};
  std::unique_ptr<Periodic> ticker_;
  bool running_ = false;
};

}  // namespace lossd

#endif  // LOSSD_SERVER_SERVER_H_
