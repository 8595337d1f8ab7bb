#include "server/door/status.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/base/utf8.h"
#include "server/observability/log.h"

namespace lossd::door {
namespace {

// Trailers are limited to 8 KiB, and percent-encoding triples the bytes that
// are not ASCII.
constexpr size_t kMaxMessageBytes = 2048;

// Returns whether the table in loss_service.proto has the code.
bool InContract(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

std::string CutMessage(absl::string_view message) {
  if (message.size() <= kMaxMessageBytes) return std::string(message);
  size_t end = kMaxMessageBytes;
  // A message of protobuf with half a character could not be read.
  while (end > 0 && !BeginsCharacter(message[end])) --end;
  return absl::StrCat(message.substr(0, end), "...");
}

// Returns a google.rpc.Status with one google.rpc.RetryInfo, serialised.
std::string RetryDetails(const grpc::Status& status,
                         absl::Duration retry_after) {
  google::rpc::RetryInfo info;
  google::protobuf::Duration& delay = *info.mutable_retry_delay();
  retry_after = std::max(retry_after, absl::ZeroDuration());
  delay.set_seconds(
      absl::IDivDuration(retry_after, absl::Seconds(1), &retry_after));
  delay.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(retry_after)));
  google::rpc::Status details;
  details.set_code(status.error_code());
  details.set_message(status.error_message());
  details.add_details()->PackFrom(info);
  return details.SerializeAsString();
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status,
                          absl::string_view request_id) {
  if (status.ok()) return grpc::Status::OK;
  if (InContract(status.code())) {
    // Abseil and gRPC number the codes alike.
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                        CutMessage(status.message()));
  }
  observability::LogError(status.ToString(),
                          {{"request_id", std::string(request_id)}});
  return grpc::Status(grpc::StatusCode::INTERNAL, CutMessage(status.message()));
}

grpc::Status ToOverloadStatus(const absl::Status& status,
                              absl::Duration retry_after,
                              grpc::ServerContext* context) {
  context->AddTrailingMetadata(
      "grpc-retry-pushback-ms",
      absl::StrCat(absl::ToInt64Milliseconds(
          absl::Ceil(retry_after, absl::Milliseconds(1)))));
  const grpc::Status plain = ToGrpcStatus(status, {});
  return grpc::Status(plain.error_code(), plain.error_message(),
                      RetryDetails(plain, retry_after));
}

}  // namespace lossd::door
