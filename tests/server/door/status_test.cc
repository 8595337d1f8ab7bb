#include "server/door/status.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <gtest/gtest.h>

#include <string>

namespace lossd::door {
namespace {

TEST(ToGrpcStatus, KeepsTheCodesOfTheContract) {
  const grpc::Status status =
      ToGrpcStatus(absl::InvalidArgumentError("logits: bad"), "");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "logits: bad");
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus(), "").ok());
}

TEST(ToGrpcStatus, NeverSaysUnknown) {
  for (const absl::StatusCode code :
       {absl::StatusCode::kUnknown, absl::StatusCode::kAborted,
        absl::StatusCode::kDataLoss, absl::StatusCode::kOutOfRange,
        absl::StatusCode::kInternal}) {
    EXPECT_EQ(ToGrpcStatus(absl::Status(code, "odd"), "id").error_code(),
              grpc::StatusCode::INTERNAL);
  }
}

TEST(ToGrpcStatus, CutsLongMessages) {
  const grpc::Status status =
      ToGrpcStatus(absl::InvalidArgumentError(std::string(100000, 'x')), "");
  EXPECT_LT(status.error_message().size(), 3000U);
}

TEST(ToGrpcStatus, CutsNoCharacterInTwo) {
  std::string text = "x";
  while (text.size() < 4000) text += "\u00e9";  // two bytes
  const std::string cut =
      ToGrpcStatus(absl::InvalidArgumentError(text), "").error_message();
  EXPECT_EQ(cut, text.substr(0, 2047) + "...");
}

// Reads google.rpc.Status without generated code, which the server wrote it
// with.
TEST(ToOverloadStatus, CarriesRetryInfo) {
  grpc::ServerContext context;
  const grpc::Status status = ToOverloadStatus(
      absl::ResourceExhaustedError("full"), absl::Milliseconds(1500), &context);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  const std::string details = status.error_details();
  google::protobuf::io::CodedInputStream in(
      reinterpret_cast<const uint8_t*>(details.data()),
      static_cast<int>(details.size()));
  uint32_t code = 0;
  uint32_t size = 0;
  std::string message;
  std::string any_bytes;
  ASSERT_EQ(in.ReadTag(), 0x08U);
  ASSERT_TRUE(in.ReadVarint32(&code));
  EXPECT_EQ(code, 8U);
  ASSERT_EQ(in.ReadTag(), 0x12U);
  ASSERT_TRUE(in.ReadVarint32(&size) &&
              in.ReadString(&message, static_cast<int>(size)));
  EXPECT_EQ(message, "full");
  ASSERT_EQ(in.ReadTag(), 0x1aU);
  ASSERT_TRUE(in.ReadVarint32(&size) &&
              in.ReadString(&any_bytes, static_cast<int>(size)));
  EXPECT_EQ(in.ReadTag(), 0U);
  google::protobuf::Any any;
  ASSERT_TRUE(any.ParseFromString(any_bytes));
  EXPECT_EQ(any.type_url(), "type.googleapis.com/google.rpc.RetryInfo");
  google::protobuf::Duration delay;
  ASSERT_TRUE(delay.ParseFromString(any.value().substr(2)));
  EXPECT_EQ(delay.seconds(), 1);
  EXPECT_EQ(delay.nanos(), 500000000);
}

}  // namespace
}  // namespace lossd::door
