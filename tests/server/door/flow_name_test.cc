#include "server/door/flow_name.h"

#include <gmock/gmock.h>
#include <grpcpp/server_context.h>
#include <grpcpp/test/server_context_test_spouse.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace lossd::door {
namespace {

// Returns the flow of a call that carries these names.
absl::StatusOr<NamedFlow> FlowOfACall(const std::vector<std::string>& names) {
  grpc::ServerContext context;
  grpc::testing::ServerContextTestSpouse call(&context);
  call.AddClientMetadata("another", "10.0.0.7:4711");
  for (const std::string& name : names) call.AddClientMetadata(kFlowKey, name);
  return NamedFlowOf(context);
}

TEST(FlowName, IsTheMetadataOfACall) {
  const auto named = FlowOfACall({"10.0.0.7:4711"});
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(named->name, "10.0.0.7:4711");
}

TEST(FlowName, IsEmptyWithoutMetadata) {
  const auto unnamed = FlowOfACall({});
  ASSERT_TRUE(unnamed.ok()) << unnamed.status();
  EXPECT_EQ(unnamed->name, "");
}

TEST(FlowName, EqualNamesAreOneFlowAndOthersAreNot) {
  EXPECT_EQ(FlowOfACall({"a"})->flow, FlowOfACall({"a"})->flow);
  EXPECT_NE(FlowOfACall({"a"})->flow, FlowOfACall({"b"})->flow);
}

TEST(FlowName, HasUpTo128PrintableBytes) {
  for (const std::string& name :
       {std::string("~"), std::string(128, 'w'), std::string("a b")}) {
    EXPECT_TRUE(FlowOfACall({name}).ok()) << name;
  }
}

TEST(FlowName, SaysWhatIsWrongWithIt) {
  struct Case {
    std::vector<std::string> names;
    std::string error;
  };
  const Case cases[] = {
      {{""}, "a name has 1 to 128 bytes, and this one has 0"},
      {{std::string(129, 'w')},
       "a name has 1 to 128 bytes, and this one has 129"},
      {{"a\tb"}, "byte 1 is not a printable character of ASCII"},
      {{"\xc3\xa9"}, "byte 0 is not a printable character of ASCII"},
      {{"a", "b"},
       "is there 2 times; a proxy has to replace what it receives, not to add "
       "to it"},
  };
  for (const Case& c : cases) {
    const absl::Status status = FlowOfACall(c.names).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), "metadata lossd-flow: " + c.error);
  }
}

}  // namespace
}  // namespace lossd::door
