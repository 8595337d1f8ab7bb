#include "client/cpp/call_status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "client/cpp/message/wire_fields.h"

namespace lossd::client {
namespace {

constexpr absl::string_view kRetryAfterPayload = "lossd/retry-after";

// Returns the delay in the trailer, in milliseconds. A negative number means
// "do not retry".
std::optional<absl::Duration> Pushback(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto found = trailers.find("grpc-retry-pushback-ms");
  if (found == trailers.end()) return std::nullopt;
  int64_t milliseconds = 0;
  const absl::string_view text(found->second.data(), found->second.size());
  if (!absl::SimpleAtoi(text, &milliseconds) || milliseconds < 0) {
    return std::nullopt;
  }
  return absl::Milliseconds(milliseconds);
}

// Returns the message with what gRPC's text for a request above the server's
// limit leaves out.
std::string Explained(const std::string& message) {
  if (!absl::StartsWith(message, "Received message larger than max")) {
    return message;
  }
  return absl::StrCat(message,
                      "; the server's --max_message_bytes is the limit, and "
                      "the client's stream_above_bytes the size from which "
                      "requests go in parts");
}

}  // namespace

std::optional<absl::Duration> RetryDelayOfDetails(const std::string& details) {
  constexpr int kStatusDetails = 3;        // google.rpc.Status.details
  constexpr int kRetryInfoRetryDelay = 1;  // google.rpc.RetryInfo.retry_delay
  const auto status = WireFields::Parse(details);
  if (!status.has_value()) return std::nullopt;
  for (const std::string& detail : status->Strings(kStatusDetails)) {
    google::protobuf::Any any;
    if (!any.ParseFromString(detail)) continue;
    if (!absl::EndsWith(any.type_url(), "/google.rpc.RetryInfo")) continue;
    const auto info = WireFields::Parse(any.value());
    if (!info.has_value()) continue;
    // An empty RetryInfo has no delay field: retry at once.
    google::protobuf::Duration delay;
    for (const std::string& bytes : info->Strings(kRetryInfoRetryDelay)) {
      if (!delay.ParseFromString(bytes)) return std::nullopt;
    }
    return absl::Seconds(delay.seconds()) + absl::Nanoseconds(delay.nanos());
  }
  return std::nullopt;
}

absl::Status CallStatus(const grpc::Status& status,
                        const grpc::ClientContext& context) {
  if (status.ok()) return absl::OkStatus();
  // Both sides number the codes alike.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()),
                      Explained(status.error_message()));
  std::optional<absl::Duration> delay =
      RetryDelayOfDetails(status.error_details());
  if (!delay.has_value()) delay = Pushback(context);
  if (delay.has_value()) SetRetryAfter(*delay, &result);
  return result;
}

void SetRetryAfter(absl::Duration delay, absl::Status* status) {
  status->SetPayload(kRetryAfterPayload,
                     absl::Cord(absl::FormatDuration(delay)));
}

std::optional<absl::Duration> RetryAfter(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryAfterPayload);
  absl::Duration delay;
  if (!payload.has_value() ||
      !absl::ParseDuration(std::string(*payload), &delay)) {
    return std::nullopt;
  }
  return delay;
}

}  // namespace lossd::client
