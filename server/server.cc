#include "server/server.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/grpc_time.h"
#include "base/steady_time.h"
#include "base/version.h"
#include "server/base/status_macros.h"
#include "server/door/admin_gate.h"
#include "server/door/credentials.h"
#include "server/door/grpc_log.h"
#include "server/door/transport.h"
#include "server/facts.h"
#include "server/observability/log.h"
#include "server/observability/metric_list.h"
#include "server/trace_export.h"

namespace lossd {
namespace {

// Bytes of returned buffers that are kept for the next requests.
constexpr int64_t kMaxPooledBytes = int64_t{256} << 20;

// How often calls that wait are looked at, and the server's idleness.
constexpr absl::Duration kTick = absl::Seconds(1);

// The time that health watches and reflection get to end after a drain.
constexpr absl::Duration kCloseStreams = absl::Milliseconds(100);

// How often a drain looks for connections that have become idle.
constexpr absl::Duration kLookForIdle = absl::Milliseconds(5);

// The longest time that a client gets to receive what was sent to it.
constexpr absl::Duration kLetClientsRead = absl::Seconds(1);

// How often certificates and tokens are read again and refusals are summed up.
constexpr absl::Duration kHousekeeping = absl::Seconds(10);

// Adds gRPC's plugins to every server that is built after this.
void InstallPlugins(const Config& config) {
  // HealthService is ours, because gRPC's own has threads that poll.
  grpc::EnableDefaultHealthCheckService(false);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  if (config.channelz) grpc::channelz::experimental::InitChannelzService();
}

// Returns the error with the flag that it comes from in front.
absl::Status Named(absl::string_view flag, const absl::Status& status) {
  return absl::Status(status.code(),
                      absl::StrCat("--", flag, ": ", status.message()));
}

}  // namespace

Server::Server(const Config& config)
    : config_(WithDefaults(config, machine_)) {}

absl::StatusOr<std::unique_ptr<Server>> Server::Create(
    const Config& config, const DeviceOpener& open_devices,
    std::vector<FileDescriptor> handed_over) {
  RETURN_IF_ERROR(ValidateConfig(config));
  std::unique_ptr<Server> server(new Server(config));
  if (const int64_t most =
          TotalBytes(PlanOf(server->config_, server->machine_));
      most > server->machine_.memory.bytes) {
    observability::LogWarning(absl::StrCat(
        "the limits allow ", most, " bytes of memory, but there are ",
        server->machine_.memory.bytes, " (", server->machine_.memory.reason,
        "): lower --max_inflight_bytes or --max_inflight_requests"));
  }
  RETURN_IF_ERROR(server->BuildParts(open_devices));
  RETURN_IF_ERROR(server->ServeRegions());
  RETURN_IF_ERROR(server->Listen(std::move(handed_over)));
  RETURN_IF_ERROR(server->ServePages());
  // This is logged only now, because a server that cannot start writes one
  // line: why it cannot.
  if (!server->why_cpu_.empty()) {
    observability::LogInfo(
        absl::StrCat("computing on the CPU: ", server->why_cpu_));
  }
  server->entrance_->WarnOfPlaintext(!server->authenticator_->is_open());
  server->StartThreads();
  return server;
}

absl::Status Server::BuildParts(const DeviceOpener& open_devices) {
  auto authenticator = door::Authenticator::Load(config_.token_file);
  if (!authenticator.ok()) return authenticator.status();
  authenticator_ = *std::move(authenticator);
  if (!config_.tls_cert.empty()) {
    auto certificates =
        door::Certificates::Load(TlsFilesOf(config_), &wall_clock_);
    if (!certificates.ok()) return certificates.status();
    certificates_ = *std::move(certificates);
  }
  absl::StatusOr<BackendChoice> choice = ChooseBackend(config_, open_devices);
  if (!choice.ok()) return choice.status();
  why_cpu_ = choice->why_cpu;
  const v1::GetServerInfoResponse info =
      ServerInfoOf(config_, choice->names, choice->slots != nullptr);
  BuildExecution(*choice);
  BuildBudgets();
  auto connections = door::Connections::Create(certificates_ != nullptr);
  if (!connections.ok()) return connections.status();
  connections_ = *std::move(connections);
  spans_ = MakeSpanProcessor(config_, &clock_, metrics_.get());
  AddGauges();
  auto exposer = observability::Exposer::Listen(config_.metrics_listen);
  if (!exposer.ok()) return Named("metrics_listen", exposer.status());
  exposer_ = *std::move(exposer);
  BuildServices(info);
  return absl::OkStatus();
}

void Server::BuildExecution(BackendChoice& choice) {
  buffers_ = std::make_shared<BufferPool>(static_cast<size_t>(
      std::min(config_.max_inflight_bytes, kMaxPooledBytes)));
  metrics_ = std::make_unique<observability::Metrics>(
      kVersion, choice.names.front(), static_cast<size_t>(config_.max_jobs));
  batcher_ = std::make_unique<batching::Batcher>(
      BatcherOptionsFor(config_, choice), &clock_);
  executors_ = MakeExecutors(config_, choice, metrics_.get(), &clock_,
                             [this] { BeginDrain(); });
}

void Server::BuildBudgets() {
  admission::AdmissionOptions budgets;
  budgets.max_inflight_bytes = config_.max_inflight_bytes;
  budgets.max_inflight_requests = config_.max_inflight_requests;
  admission_ = std::make_unique<admission::AdmissionController>(budgets);
  admission::IntakeOptions intake;
  intake.max_inflight_bytes = config_.max_inflight_bytes;
  intake.max_calls = config_.max_inflight_requests;
  // Batches that are held open keep the calls in them inside.
  intake.wanted_wait += 2 * config_.max_queue_delay;
  intake.first_message_bytes =
      std::min(config_.max_message_bytes, config_.max_inflight_bytes);
  intake_ = std::make_unique<admission::Intake>(intake);
  shared_memory::RegionLimits limits;
  limits.max_bytes = config_.max_shared_memory_bytes;
  limits.max_bytes_per_connection =
      config_.max_shared_memory_bytes_per_connection;
  regions_ = std::make_unique<shared_memory::RegionTable>(
      limits, executors_.lending.get(), executors_.pinning.get());
}

absl::Status Server::ServePages() {
  facts_ = FactsOf(config_,
                   {.address = address(),
                    .metrics_address = metrics_address(),
                    .backend = backend(),
                    .executors = batcher_->executors(),
                    .rpc_threads = static_cast<int64_t>(rpc_threads_.size()),
                    .machine = &machine_});
  const absl::Status served = exposer_->Serve(
      {.metrics = metrics_.get(),
       .is_serving = [this] { return health_service_.serving(); },
       .facts = [this] { return facts_; },
       .check_reader = config_.metrics_need_token
                           ? door::AdminCheck(authenticator_.get())
                           : nullptr});
  return served.ok() ? served : Named("metrics_listen", served);
}

void Server::BuildServices(const v1::GetServerInfoResponse& info) {
  call_context_ = {.clock = &clock_,
                   .admission = admission_.get(),
                   .intake = intake_.get(),
                   .batcher = batcher_.get(),
                   .runner = &executors_.first(),
                   .backend = executors_.first().backend(),
                   .metrics = metrics_.get(),
                   .authenticator = authenticator_.get(),
                   .connections = connections_.get(),
                   .buffers = buffers_,
                   .regions = regions_.get(),
                   .spans = spans_.get(),
                   .trust_flow_header = config_.trust_flow_header,
                   .watches_jobs = config_.max_jobs > 0};
  if (config_.shared_memory_socket.empty()) call_context_.regions = nullptr;
  if (config_.stream_idle_timeout > absl::ZeroDuration()) {
    call_context_.stream_idle_limit = config_.stream_idle_timeout;
  }
  loss_service_ = std::make_unique<rpc::LossService>(&call_context_, info);
}

void Server::AddGauges() {
  namespace metric = observability::metric;
  const auto add = [this](const observability::MetricInfo& metric, auto read) {
    metrics_->AddGauge(metric, [read] { return static_cast<double>(read()); });
  };
  add(metric::kInflightRequests,
      [this] { return admission_->inflight_requests(); });
  add(metric::kInflightBytes, [this] { return admission_->inflight_bytes(); });
  add(metric::kMaxInflightRequests,
      [this] { return config_.max_inflight_requests; });
  add(metric::kMaxInflightBytes, [this] { return config_.max_inflight_bytes; });
  add(metric::kSharedMemoryBytes, [this] { return regions_->bytes(); });
  add(metric::kPinnedSharedMemoryBytes,
      [this] { return regions_->pinned_bytes(); });
  add(metric::kLentMemoryBytes, [this] { return regions_->lent_bytes(); });
  add(metric::kQueueDepth, [this] { return batcher_->queued_requests(); });
  add(metric::kExecutorsBusy, [this] { return batcher_->busy_executors(); });
  add(metric::kExecutors, [this] { return batcher_->executors(); });
  add(metric::kServing, [this] { return health_service_.serving(); });
  add(metric::kFailedHandshakes, &door::FailedHandshakes);
  metrics_->AddGaugeByLabel(metric::kConnections, "listener", [this] {
    const auto count = [this](door::Transport transport) {
      return static_cast<double>(connections_->Count(transport));
    };
    return observability::Metrics::ValueByLabel{
        {"tcp", count(door::Transport::kTcp)},
        {"unix", count(door::Transport::kUnix)}};
  });
  if (!authenticator_->is_open()) {
    add(metric::kTokenFileGood,
        [this] { return authenticator_->file_is_good(); });
    add(metric::kTokensRefused, [this] { return authenticator_->refused(); });
  }
  if (certificates_ == nullptr) return;
  add(metric::kCertificateExpiry,
      [this] { return absl::ToUnixSeconds(certificates_->end()); });
}

absl::Status Server::ServeRegions() {
  if (config_.shared_memory_socket.empty()) return absl::OkStatus();
  shared_memory::RegionSocketOptions options;
  options.path = config_.shared_memory_socket;
  auto socket = shared_memory::RegionSocket::Start(options, regions_.get());
  if (!socket.ok()) return Named("shared_memory_socket", socket.status());
  region_socket_ = *std::move(socket);
  return absl::OkStatus();
}

absl::Status Server::Listen(std::vector<FileDescriptor> handed_over) {
  auto entrance = door::Entrance::Open(
      {.listen = {.address = config_.listen, .unix_path = config_.unix_socket},
       .max_connections = config_.max_connections},
      std::move(handed_over), connections_.get());
  if (!entrance.ok()) return entrance.status();
  entrance_ = *std::move(entrance);
  InstallPlugins(config_);
  grpc::ServerBuilder builder;
  credentials_ = door::MakeCredentials(certificates_.get());
  entrance_->AddTo(&builder, credentials_, certificates_ != nullptr);
  const MemoryPlan plan = PlanOf(config_, machine_);
  door::SetUpTransport(
      {.max_message_bytes = config_.max_message_bytes,
       .memory_bytes = TransportBytes(plan),
       .channelz = config_.channelz,
       .keepalive_min_interval = config_.keepalive_min_interval,
       .handshake_timeout = config_.handshake_timeout},
      &builder);
  AddServices(&builder);
  grpc_server_ = builder.BuildAndStart();
  return grpc_server_ != nullptr ? absl::OkStatus()
                                 : absl::InternalError("gRPC cannot start");
}

void Server::AddServices(grpc::ServerBuilder* builder) {
  if (!authenticator_->is_open())
    door::AddAdminGate(authenticator_.get(), builder);
  builder->RegisterService(loss_service_.get());
  builder->RegisterService(&health_service_);
  for (int i = 0; i < config_.rpc_threads; ++i) {
    rpc_threads_.push_back(std::make_unique<rpc::RpcThread>(
        rpc::RpcThreadOptions(), &call_context_, loss_service_.get(),
        &health_service_, builder->AddCompletionQueue()));
  }
}

void Server::StartThreads() {
  // This comes before anything is computed, because the loss of the last device
  // takes it back.
  health_service_.SetServing(true);
  executors_.first().Start(*batcher_);
  for (auto& thread : rpc_threads_) thread->Start();
  entrance_->Start(grpc_server_.get());
  ticker_ = std::make_unique<Periodic>(&clock_, kTick, [this] { OnTick(); });
  housekeeping_ = std::make_unique<Periodic>(&clock_, kHousekeeping, [this] {
    refusal_log_.Report();
    if (certificates_ != nullptr) certificates_->Reread(/*say_all=*/false);
    if (!authenticator_->is_open()) authenticator_->Reread(/*at_once=*/false);
  });
  running_ = true;
}

void Server::OnTick() {
  const absl::Time now = clock_.Now();
  if (intake_->waiting()) intake_->LetIn(admission_->inflight_bytes(), now);
  const bool idle = admission_->inflight_requests() == 0;
  if (!idle_watch_.IsDue(admission_->admitted() + (idle ? 0 : 1), now)) return;
  if (idle) GiveMemoryBack();
}

// The C library keeps what was freed; malloc_trim() returns whole pages of it.
void Server::GiveMemoryBack() {
  buffers_->Trim();
  malloc_trim(0);
}

void Server::BeginDrain() {
  health_service_.SetServing(false);
  admission_->StopAdmitting();
  intake_->TurnAllAway(absl::UnavailableError("the server is draining"));
}

bool Server::AnswerAccepted(absl::Time end) {
  while (!WaitForInflight(0, std::min(end - SteadyNow(), kLookForIdle))) {
    if (SteadyNow() >= end) return false;
    EndIdleConnections();
  }
  return true;
}

// The clients of idle connections need not wait for the requests of others. The
// total is read first, so that it is larger than the sum if one of the requests
// belongs to a connection whose flow is not known, or to a flow that has a
// name; then none is ended.
void Server::EndIdleConnections() {
  const int64_t all = inflight_requests();
  int64_t known = 0;
  for (const uint64_t flow : connections_->Flows()) {
    known += admission_->held_by(flow).requests;
  }
  if (known < all) return;
  connections_->EndIdle(
      [this](uint64_t flow) { return admission_->held_by(flow).requests > 0; });
}

void Server::Reload() {
  if (certificates_ == nullptr && config_.token_file.empty()) {
    observability::LogInfo("there are no certificates or tokens to read again");
  }
  if (certificates_ != nullptr) certificates_->Reread(/*say_all=*/true);
  if (!authenticator_->is_open()) authenticator_->Reread(/*at_once=*/true);
}

std::map<std::string, int64_t> Server::Refusals() const {
  std::map<std::string, int64_t> refusals = metrics_->Refusals();
  refusals["tls_handshake"] = door::FailedHandshakes();
  return refusals;
}

bool Server::Shutdown(absl::Duration drain_timeout) {
  if (!std::exchange(running_, false)) return true;
  BeginDrain();
  entrance_->StopAccepting();
  const absl::Time end = SteadyNow() + drain_timeout;
  const bool drained = AnswerAccepted(end);
  if (!drained) {
    batcher_->DropQueued(absl::UnavailableError("the server is shutting down"));
    WaitForInflight(0, kCloseStreams);
  }
  health_service_.EndWatches();
  // gRPC answers calls that arrive after its Shutdown() with CANCELLED, which
  // nobody retries. So none can arrive by then (D49).
  connections_->EndAll(
      std::clamp(end - SteadyNow(), absl::ZeroDuration(), kLetClientsRead));
  grpc_server_->Shutdown(GrpcTimeAfter(kCloseStreams));
  for (auto& thread : rpc_threads_) thread->Join();
  if (spans_ != nullptr) spans_->Shutdown(kLastSpans);
  batcher_->Close();
  executors_.first().Join();
  ticker_.reset();
  region_socket_.reset();
  housekeeping_.reset();
  refusal_log_.Report();  // the last seconds
  return drained;
}

Server::~Server() {
  Shutdown(absl::ZeroDuration());
  exposer_.reset();  // its pages read the other parts
  // The threads go before gRPC's server, whose queues they own and drain.
  rpc_threads_.clear();
}

}  // namespace lossd
