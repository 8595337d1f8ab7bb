#include "client/cpp/call_status.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <gtest/gtest.h>

#include <string>

#include "client/cpp/message/wire_fields.h"

namespace lossd::client {
namespace {

// google.rpc.Status { 3: Any { RetryInfo { 1: Duration } } }
std::string DetailsWithRetryInfo(int64_t seconds, int32_t nanos) {
  google::protobuf::Duration delay;
  delay.set_seconds(seconds);
  delay.set_nanos(nanos);
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  any.set_value(WireFields::OneString(1, delay.SerializeAsString()));
  return WireFields::OneString(3, any.SerializeAsString());
}

TEST(CallStatusTest, ReadsTheDelayOfRetryInfo) {
  EXPECT_EQ(RetryDelayOfDetails(DetailsWithRetryInfo(2, 500'000'000)),
            absl::Milliseconds(2500));
}

TEST(CallStatusTest, OtherOrNoDetailsHaveNoDelay) {
  google::protobuf::Any any;
  any.set_type_url("type.googleapis.com/google.rpc.DebugInfo");
  EXPECT_EQ(RetryDelayOfDetails(""), std::nullopt);
  EXPECT_EQ(RetryDelayOfDetails("\xff\xff garbage"), std::nullopt);
  EXPECT_EQ(
      RetryDelayOfDetails(WireFields::OneString(3, any.SerializeAsString())),
      std::nullopt);
}

TEST(CallStatusTest, KeepsEveryCodeAndItsMessage) {
  grpc::ClientContext context;
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status = CallStatus(
        grpc::Status(static_cast<grpc::StatusCode>(code), "why"), context);
    EXPECT_EQ(static_cast<int>(status.code()), code);
    EXPECT_EQ(status.message(), "why");
    EXPECT_EQ(RetryAfter(status), std::nullopt);
  }
}

// The text is gRPC 1.51's.
TEST(CallStatusTest, SaysWhoseLimitARequestWasAbove) {
  grpc::ClientContext context;
  const absl::Status status = CallStatus(
      grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                   "Received message larger than max (2000000 vs. 1048576)"),
      context);
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(
                  testing::StartsWith(
                      "Received message larger than max (2000000 vs. 1048576)"),
                  testing::HasSubstr("--max_message_bytes"),
                  testing::HasSubstr("stream_above_bytes")));
}

TEST(CallStatusTest, AttachesTheDelayToTheStatus) {
  grpc::ClientContext context;
  const absl::Status status =
      CallStatus(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "full",
                              DetailsWithRetryInfo(0, 30'000'000)),
                 context);
  EXPECT_EQ(RetryAfter(status), absl::Milliseconds(30));
}

}  // namespace
}  // namespace lossd::client
