#include "server/door/job_name.h"

#include <grpcpp/server_context.h>
#include <grpcpp/test/server_context_test_spouse.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace lossd::door {
namespace {

// Returns the job of a call that carries these names.
absl::StatusOr<std::string> JobOfACall(const std::vector<std::string>& names) {
  grpc::ServerContext context;
  grpc::testing::ServerContextTestSpouse call(&context);
  call.AddClientMetadata("lossd-flow", "10.0.0.7:4711");
  for (const std::string& name : names) call.AddClientMetadata(kJobKey, name);
  return JobNameOf(context);
}

TEST(JobName, IsTheMetadataOfACallOrEmpty) {
  EXPECT_EQ(*JobOfACall({"resnet-50"}), "resnet-50");
  EXPECT_EQ(*JobOfACall({}), "");
  EXPECT_EQ(JobOfACall({std::string(64, 'w')})->size(), 64u);
}

TEST(JobName, SaysWhatIsWrongWithIt) {
  struct Case {
    std::vector<std::string> names;
    std::string error;
  };
  const Case cases[] = {
      {{""}, "a name has 1 to 64 bytes, and this one has 0"},
      {{std::string(65, 'w')}, "a name has 1 to 64 bytes, and this one has 65"},
      {{"a\x7f"}, "byte 1 is not a printable character of ASCII"},
      {{"a", "a"}, "is there 2 times; a call belongs to one job"},
  };
  for (const Case& c : cases) {
    const absl::Status status = JobOfACall(c.names).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "metadata lossd-job: " + c.error);
  }
}

}  // namespace
}  // namespace lossd::door
