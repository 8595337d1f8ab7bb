#include "server/door/status.h"

#include <google/protobuf/any.pb.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "server/observability/log.h"
#include "server/wire/field_writer.h"

namespace lossd::door {
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

// google.rpc.Status { int32 code = 1; string message = 2; repeated Any details
// = 3; } with one google.rpc.RetryInfo { Duration retry_delay = 1; }. The
// distribution has no header for the two, and they are three fields, so they
// are written by hand.
std::string RetryDetails(const grpc::Status& status,
                         absl::Duration retry_after) {
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  wire::FieldWriter(any.mutable_value()).Duration(1, retry_after);
  std::string details;
  wire::FieldWriter fields(&details);
  fields.Varint(1, static_cast<uint64_t>(status.error_code()));
  fields.Bytes(2, status.error_message());
  fields.Bytes(3, any.SerializeAsString());
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

}  // namespace lossd::door
