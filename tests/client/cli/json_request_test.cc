#include "client/cli/json_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace lossd::cli {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::string Complaint(const std::string& text) {
  const auto request = ParseJsonRequest(text);
  EXPECT_TRUE(absl::IsInvalidArgument(request.status())) << text;
  const std::string message(request.status().message());
  EXPECT_THAT(message, testing::Not(HasSubstr("\n"))) << text;
  return message;
}

TEST(JsonRequest, ARequestIsRead) {
  const auto request = ParseJsonRequest(
      R"({"logits": {"values": [0.5, -1]}, "requestId": "a"})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->logits().values_size(), 2);
  EXPECT_EQ(request->request_id(), "a");
}

TEST(JsonRequest, OfTextThatIsNotJsonThePlaceIsNamed) {
  EXPECT_THAT(Complaint("root:x:0:0\n"),
              StartsWith("is not JSON from line 1, column 1 on: "));
  EXPECT_THAT(Complaint("{\n  \"logits\": {\"values\": [0.5 -1]}\n}"),
              StartsWith("is not JSON from line 2, column 30 on: "));
  EXPECT_THAT(Complaint("{}\n{}"),
              StartsWith("is not JSON from line 2, column 1 on: "));
}

TEST(JsonRequest, TextThatEndsTooEarlyIsNamedAtItsEnd) {
  EXPECT_THAT(Complaint(""),
              StartsWith("is not JSON from line 1, column 1 on: "));
  EXPECT_THAT(Complaint("{\"logits\":\n"),
              StartsWith("is not JSON from line 2, column 1 on: "));
}

TEST(JsonRequest, JsonThatIsNoRequestNamesTheField) {
  const std::string message = Complaint(R"({"logit": {"values": [0.5]}})");
  EXPECT_THAT(message, StartsWith("is not a ComputeLossRequest in JSON: "));
  EXPECT_THAT(message, HasSubstr("logit"));
  EXPECT_THAT(Complaint("[1, 2]"),
              StartsWith("is not a ComputeLossRequest in JSON: Root"));
}

}  // namespace
}  // namespace lossd::cli
