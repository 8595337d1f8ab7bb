#include "server/server.h"

#include <grpcpp/ext/channelz_service_plugin.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/server_builder.h>
#include <malloc.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "base/file.h"
#include "server/backend.h"
#include "server/base/listen_error.h"
#include "server/base/status_macros.h"
#include "server/base/unix_socket.h"
#include "server/door/credentials.h"
#include "server/door/transport.h"
#include "server/observability/log.h"
#include "server/observability/metric_list.h"
#include "server/version.h"

namespace lossd {
namespace {

// Bytes of returned buffers that are kept for the next requests.
constexpr int64_t kMaxPooledBytes = int64_t{256} << 20;

// How often calls that wait are looked at, and the server's idleness.
constexpr absl::Duration kTick = absl::Seconds(1);

// The time that calls get to end that a drain does not wait for: health watches
// and reflection streams.
constexpr absl::Duration kCloseStreams = absl::Milliseconds(100);

absl::StatusOr<std::vector<std::string>> LoadTokens(const std::string& path) {
  if (path.empty()) return std::vector<std::string>();
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--token_file=", text.status().message()));
  }
  std::vector<std::string> tokens = door::ReadTokens(*text);
  // An empty list would let everyone in.
  if (tokens.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--token_file=", path, ": must have at least one token"));
  }
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (door::IsSendable(tokens[i])) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--token_file=", path, ": token ", i + 1,
                     " is not printable ASCII: no client can send it"));
  }
  return tokens;
}

// Adds gRPC's plugins to every server that is built after this.
void InstallPlugins(const Config& config) {
  // HealthService is ours, because gRPC's own has threads that poll.
  grpc::EnableDefaultHealthCheckService(false);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  if (config.channelz) grpc::channelz::experimental::InitChannelzService();
}

v1::GetServerInfoResponse InfoOf(const Config& config,
                                 const std::vector<std::string>& backends,
                                 bool on_devices) {
  v1::GetServerInfoResponse info;
  info.set_version(kVersion);
  for (const std::string& name : backends) info.add_backends(name);
  info.set_max_message_bytes(config.max_message_bytes);
  info.set_max_inflight_bytes(config.max_inflight_bytes);
  info.set_max_inflight_requests(config.max_inflight_requests);
  info.set_max_batch_requests(config.max_batch_requests);
  info.set_max_batch_elements(config.max_batch_elements);
  info.set_supports_shared_memory(!config.shared_memory_socket.empty());
  info.set_supports_device_memory(on_devices &&
                                  !config.shared_memory_socket.empty());
  rpc::DescribeBuild(&info);
  return info;
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
    const Config& config, const DeviceOpener& open_devices) {
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
  RETURN_IF_ERROR(server->Listen());
  // This is logged only now, because a server that cannot start writes one
  // line: why it cannot.
  if (!server->why_cpu_.empty()) {
    observability::LogInfo(
        absl::StrCat("computing on the CPU: ", server->why_cpu_));
  }
  server->StartThreads();
  return server;
}

absl::Status Server::BuildParts(const DeviceOpener& open_devices) {
  absl::StatusOr<std::vector<std::string>> tokens =
      LoadTokens(config_.token_file);
  if (!tokens.ok()) return tokens.status();
  authenticator_ = std::make_unique<door::Authenticator>(*std::move(tokens));
  absl::StatusOr<BackendChoice> choice = ChooseBackend(config_, open_devices);
  if (!choice.ok()) return choice.status();
  why_cpu_ = choice->why_cpu;
  const v1::GetServerInfoResponse info =
      InfoOf(config_, choice->names, choice->slots != nullptr);
  BuildExecution(*choice);
  BuildBudgets();
  RETURN_IF_ERROR(ServeMetrics());
  BuildServices(info);
  return absl::OkStatus();
}

void Server::BuildExecution(BackendChoice& choice) {
  buffers_ = std::make_shared<BufferPool>(static_cast<size_t>(
      std::min(config_.max_inflight_bytes, kMaxPooledBytes)));
  metrics_ =
      std::make_unique<observability::Metrics>(kVersion, choice.names.front());
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
  intake.first_message_bytes =
      std::min(config_.max_message_bytes, config_.max_inflight_bytes);
  intake_ = std::make_unique<admission::Intake>(intake);
  shared_memory::RegionLimits limits;
  limits.max_bytes = config_.max_shared_memory_bytes;
  limits.max_bytes_per_connection =
      config_.max_shared_memory_bytes_per_connection;
  regions_ = std::make_unique<shared_memory::RegionTable>(
      limits, executors_.lending.get());
}

absl::Status Server::ServeMetrics() {
  AddGauges();
  auto exposer =
      observability::Exposer::Start(config_.metrics_listen, *metrics_);
  if (!exposer.ok()) return Named("metrics_listen", exposer.status());
  exposer_ = *std::move(exposer);
  return absl::OkStatus();
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
                   .buffers = buffers_,
                   .regions = config_.shared_memory_socket.empty()
                                  ? nullptr
                                  : regions_.get()};
  if (config_.stream_idle_timeout > absl::ZeroDuration()) {
    call_context_.stream_idle_limit = config_.stream_idle_timeout;
  }
  loss_service_ = std::make_unique<rpc::LossService>(&call_context_, info);
}

std::string Server::Describe() const {
  return absl::StrCat(
      "serving with ", backend(), ": ", config_.cpu_threads,
      " computing threads, ", config_.rpc_threads, " RPC threads (",
      machine_.cpus.count, " processors: ", machine_.cpus.reason,
      "), max_inflight_bytes ", config_.max_inflight_bytes,
      ", max_inflight_requests ", config_.max_inflight_requests,
      ", max_message_bytes ", config_.max_message_bytes, " (",
      machine_.memory.bytes, " bytes of memory: ", machine_.memory.reason, ")");
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
  add(metric::kLentMemoryBytes, [this] { return regions_->lent_bytes(); });
  add(metric::kQueueDepth, [this] { return batcher_->queued_requests(); });
  add(metric::kExecutorsBusy, [this] { return batcher_->busy_executors(); });
  add(metric::kExecutors, [this] { return batcher_->executors(); });
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

absl::Status Server::Listen() {
  // gRPC itself would take the path from a server that still listens there.
  if (!config_.unix_socket.empty()) {
    const absl::Status room = RemoveStaleSocket(config_.unix_socket);
    if (!room.ok()) return Named("unix_socket", room);
  }
  InstallPlugins(config_);
  const auto credentials = door::MakeCredentials(
      {config_.tls_cert, config_.tls_key, config_.tls_client_ca});
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(config_.listen, credentials, &port);
  if (!config_.unix_socket.empty()) {
    builder.AddListeningPort(absl::StrCat("unix:", config_.unix_socket),
                             credentials);
  }
  const MemoryPlan plan = PlanOf(config_, machine_);
  door::SetUpTransport({.max_message_bytes = config_.max_message_bytes,
                        .memory_bytes = TransportBytes(plan),
                        .channelz = config_.channelz},
                       &builder);
  AddServices(&builder);
  grpc_server_ = builder.BuildAndStart();
  if (grpc_server_ == nullptr) {
    // gRPC opens the two in this order, ends at the first that it cannot, and
    // gives no reason.
    if (port == 0) {
      return Named("listen",
                   CannotListen(config_.listen,
                                "in use, or not an address of this machine"));
    }
    return Named("unix_socket",
                 CannotListen(config_.unix_socket, "no right to make it"));
  }
  Address address = *ParseAddress(config_.listen);  // ValidateConfig() read it
  address.port = port;
  address_ = address.text();
  return absl::OkStatus();
}

void Server::AddServices(grpc::ServerBuilder* builder) {
  builder->RegisterService(loss_service_.get());
  builder->RegisterService(&health_service_);
  for (int i = 0; i < config_.rpc_threads; ++i) {
    rpc_threads_.push_back(std::make_unique<rpc::RpcThread>(
        rpc::RpcThreadOptions(), &call_context_, loss_service_.get(),
        builder->AddCompletionQueue()));
  }
}

void Server::StartThreads() {
  // This comes before anything is computed, because the loss of the last device
  // takes it back.
  health_service_.SetServing(true);
  executors_.first().Start(*batcher_);
  for (auto& thread : rpc_threads_) thread->Start();
  ticker_ = std::make_unique<Periodic>(&clock_, kTick, [this] { OnTick(); });
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

bool Server::Shutdown(absl::Duration drain_timeout) {
  if (!std::exchange(running_, false)) return true;
  BeginDrain();
  const bool drained = WaitForInflight(0, absl::Now() + drain_timeout);
  if (!drained) {
    batcher_->DropQueued(absl::UnavailableError("the server is shutting down"));
  }
  health_service_.EndWatches();
  grpc_server_->Shutdown(absl::ToChronoTime(absl::Now() + kCloseStreams));
  for (auto& thread : rpc_threads_) thread->Join();
  batcher_->Close();
  executors_.first().Join();
  ticker_.reset();
  region_socket_.reset();
  return drained;
}

Server::~Server() {
  Shutdown(absl::ZeroDuration());
  // The threads go before gRPC's server, whose queues they own and drain.
  rpc_threads_.clear();
}

}  // namespace lossd
