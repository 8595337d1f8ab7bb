#include "server/rpc/status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "server/observability/log.h"
#include "server/rpc/slice_cursor.h"

namespace lossd::rpc {
namespace {

// Trailers are limited to 8 KiB, percent-encoding triples what is not ASCII.
constexpr size_t kMaxMessageBytes = 2048;

// The codes of the table in loss_service.proto.
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
  return absl::StrCat(message.substr(0, kMaxMessageBytes), "...");
}

void AppendLengthField(uint32_t number, const std::string& bytes,
                       std::string* out) {
  AppendVarint(number << 3 | 2, out);
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

// google.rpc.Status { int32 code = 1; string message = 2; repeated Any details
// = 3; } with one google.rpc.RetryInfo { Duration retry_delay = 1; }. The
// distribution has no header for the two, and they are three fields, so they
// are written by hand.
std::string RetryDetails(const grpc::Status& status,
                         absl::Duration retry_after) {
  google::protobuf::Duration delay;
  const int64_t seconds =
      absl::IDivDuration(retry_after, absl::Seconds(1), &retry_after);
  delay.set_seconds(seconds);
  delay.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(retry_after)));
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  AppendLengthField(1, delay.SerializeAsString(), any.mutable_value());
  std::string details;
  AppendVarint(1 << 3, &details);
  AppendVarint(static_cast<uint64_t>(status.error_code()), &details);
  AppendLengthField(2, status.error_message(), &details);
  AppendLengthField(3, any.SerializeAsString(), &details);
  return details;
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status,
                          absl::string_view request_id) {
  if (status.ok()) return grpc::Status::OK;
  if (InContract(status.code())) {
    // The numbers of the codes are the same.
    return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                        CutMessage(status.message()));
  }
  observability::LogError(
      status.ToString(),
      std::string_view(request_id.data(), request_id.size()));
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

}  // namespace lossd::rpc
