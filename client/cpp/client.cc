#include "client/cpp/client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/slice.h>

#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/steady_time.h"
#include "client/cpp/message/request_writer.h"
#include "client/cpp/message/spec_check.h"
#include "client/cpp/message/stream_writer.h"
#include "client/cpp/message/wire_fields.h"
#include "client/cpp/stream_call.h"

namespace lossd::client {
namespace {

constexpr char kComputeLoss[] = "/lossd.v1.LossService/ComputeLoss";
constexpr char kGetServerInfo[] = "/lossd.v1.LossService/GetServerInfo";
constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";

// Returns a small message as one slice, copied.
grpc::ByteBuffer BufferOf(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Returns all bytes of a small message.
absl::StatusOr<std::string> StringOf(const grpc::ByteBuffer& buffer) {
  grpc::Slice slice;
  if (!buffer.DumpToSingleSlice(&slice).ok()) {
    return absl::InternalError("the reply cannot be read");
  }
  return std::string(reinterpret_cast<const char*>(slice.begin()),
                     slice.size());
}

// Returns the error of what needs a thread that std::thread cannot start.
absl::Status NoThread(absl::string_view what, const std::system_error& why) {
  return absl::ResourceExhaustedError(
      absl::StrCat("no thread can be started for ", what, ": ", why.what()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Create(
    const ClientOptions& options) {
  auto connections = Connections::Open(options);
  if (!connections.ok()) return connections.status();
  return std::unique_ptr<Client>(new Client(*std::move(connections), options));
}

Client::Client(std::unique_ptr<Connections> connections,
               const ClientOptions& options)
    : caller_{.token = options.token, .job = options.job},
      stream_above_bytes_(options.stream_above_bytes),
      connections_(std::move(connections)),
      retries_(connections_->several() ? std::make_unique<Retries>()
                                       : nullptr) {}

absl::Status Client::Check(const LossRequest& request) const {
  if (absl::Status s = CheckParameters(request.spec); !s.ok()) return s;
  return CheckMemory(NamesSharedMemory(request));
}

absl::Status Client::Check(const v1::ComputeLossRequest& request) const {
  if (absl::Status s = CheckSerializable(request.ByteSizeLong()); !s.ok())
    return s;
  return CheckMemory(NamesSharedMemory(request));
}

absl::Status Client::CheckMemory(bool named) const {
  if (retries_ == nullptr || !named) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "the request names shared memory, which is one server's, and the client "
      "has several");
}

absl::StatusOr<grpc::ByteBuffer> Client::Unary(const std::string& method,
                                               grpc::ByteBuffer request,
                                               const CallOptions& options,
                                               SliceTracker& tracker) {
  if (absl::Status s = CheckCallOptions(options); !s.ok()) return s;
  grpc::CompletionQueue queue;
  grpc::Alarm returned;
  Call call(options, caller_);
  call.Start(connections_->Take(), method, request, queue, &call);
  request.Clear();
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  absl::StatusOr<grpc::ByteBuffer> reply = call.Take();
  // The wait is on the queue, because a message that is still being written
  // needs a thread that polls, and this may be the only one.
  const bool free = tracker.AllDroppedOrElse(
      [&] { returned.Set(&queue, gpr_time_0(GPR_CLOCK_MONOTONIC), &call); });
  if (!free) queue.Next(&tag, &ok);
  queue.Shutdown();
  queue.Next(&tag, &ok);  // a queue is drained before it goes
  return reply;
}

absl::StatusOr<std::string> Client::UnaryBytes(const std::string& method,
                                               const std::string& request,
                                               const CallOptions& options) {
  const absl::StatusOr<grpc::ByteBuffer> reply =
      Unary(method, BufferOf(request), options, *SliceTracker::Make());
  if (!reply.ok()) return reply.status();
  return StringOf(*reply);
}

absl::StatusOr<LossResult> Client::ComputeLoss(const LossRequest& request,
                                               const CallOptions& options) {
  if (absl::Status s = Check(request); !s.ok()) return s;
  if (!request.shared_gradient.has_value() &&
      !request.shared_second_derivative.has_value() &&
      SentBytes(request) > stream_above_bytes_ && StreamTakes(request)) {
    return Stream(request, options);
  }
  const std::shared_ptr<SliceTracker> tracker = SliceTracker::Make();
  return ResultOf(
      Unary(kComputeLoss, WriteRequest(request, options.request_id, *tracker),
            options, *tracker),
      options);
}

absl::StatusOr<LossResult> Client::Stream(const LossRequest& request,
                                          const CallOptions& options) {
  if (absl::Status s = CheckCallOptions(options); !s.ok()) return s;
  const absl::Time deadline = SteadyTimeOf(options.deadline);
  for (int attempt = 1;; ++attempt) {
    absl::StatusOr<LossResult> result =
        ComputeByStream(connections_->Take(), caller_, request, options);
    if (retries_ == nullptr) return result;
    if (result.ok()) retries_->Answered();
    if (result.ok()) return result;
    const auto delay = retries_->Delay(result.status(), attempt, deadline);
    if (!delay.has_value()) return result;
    absl::SleepFor(*delay);
  }
}

absl::StatusOr<LossResult> Client::ComputeLoss(
    const v1::ComputeLossRequest& request, const CallOptions& options) {
  if (absl::Status s = Check(request); !s.ok()) return s;
  return ResultOf(Unary(kComputeLoss, BufferOf(request.SerializeAsString()),
                        options, *SliceTracker::Make()),
                  options);
}

CallHandle Client::ComputeLossAsync(const LossRequest& request,
                                    const CallOptions& options,
                                    LossCallback done) {
  absl::Status checked = Check(request);
  checked.Update(CheckCallOptions(options));
  if (!checked.ok()) {
    std::move(done)(std::move(checked));
    return CallHandle();
  }
  std::shared_ptr<SliceTracker> tracker = SliceTracker::Make();
  const grpc::ByteBuffer message =
      WriteRequest(request, options.request_id, *tracker);
  return StartAsync(message, std::move(tracker), options, std::move(done));
}

CallHandle Client::ComputeLossAsync(const v1::ComputeLossRequest& request,
                                    const CallOptions& options,
                                    LossCallback done) {
  absl::Status checked = Check(request);
  checked.Update(CheckCallOptions(options));
  if (!checked.ok()) {
    std::move(done)(std::move(checked));
    return CallHandle();
  }
  return StartAsync(BufferOf(request.SerializeAsString()), SliceTracker::Make(),
                    options, std::move(done));
}

CallHandle Client::StartAsync(const grpc::ByteBuffer& message,
                              std::shared_ptr<SliceTracker> tracker,
                              const CallOptions& options, LossCallback done) {
  const absl::StatusOr<AsyncCalls*> calls = Async();
  if (!calls.ok()) {
    std::move(done)(calls.status());
    return CallHandle();
  }
  return (*calls)->Start(connections_->Take(), kComputeLoss, message,
                         std::move(tracker), options, caller_, std::move(done));
}

absl::StatusOr<AsyncCalls*> Client::Async() {
  absl::MutexLock lock(&mu_);
  if (async_ != nullptr) return async_.get();
  try {
    async_ = std::make_unique<AsyncCalls>();
  } catch (const std::system_error& error) {
    return NoThread("asynchronous calls", error);
  }
  return async_.get();
}

absl::StatusOr<std::unique_ptr<Session>> Client::StartSession(
    const SessionOptions& options) {
  if (absl::Status s = CheckSessionOptions(options); !s.ok()) return s;
  try {
    return std::make_unique<Session>(
        this,
        std::make_unique<SessionCalls>(
            options, [this] { return connections_->Take(); }, caller_,
            retries_.get()),
        options);
  } catch (const std::system_error& error) {
    return NoThread("a session", error);
  }
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo(
    const CallOptions& options) {
  const absl::StatusOr<std::string> bytes = UnaryBytes(
      kGetServerInfo, v1::GetServerInfoRequest().SerializeAsString(), options);
  if (!bytes.ok()) return bytes.status();
  v1::GetServerInfoResponse info;
  if (!info.ParseFromString(*bytes)) {
    return absl::InternalError("the reply is not a GetServerInfoResponse");
  }
  return info;
}

absl::Status Client::CheckHealth(const std::string& service,
                                 const CallOptions& options) {
  constexpr int kServiceField = 1;  // HealthCheckRequest.service
  constexpr int kStatusField = 1;   // HealthCheckResponse.status
  constexpr uint64_t kServing = 1;
  const absl::StatusOr<std::string> bytes = UnaryBytes(
      kHealthCheck, WireFields::OneString(kServiceField, service), options);
  if (!bytes.ok()) return bytes.status();
  const auto response = WireFields::Parse(*bytes);
  if (!response.has_value()) {
    return absl::InternalError("the reply is not a HealthCheckResponse");
  }
  if (response->Varint(kStatusField) != kServing) {
    return absl::UnavailableError(
        absl::StrCat("\"", service, "\" is not serving"));
  }
  return absl::OkStatus();
}

}  // namespace lossd::client
