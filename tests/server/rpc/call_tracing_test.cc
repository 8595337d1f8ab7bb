#include "server/rpc/call_tracing.h"

#include <grpcpp/test/server_context_test_spouse.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

namespace lossd::rpc {
namespace {

using observability::Method;
using tracing::CallTrace;

constexpr char kSampled[] =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr absl::Time kReceived = absl::UnixEpoch();

// Returns the trace of a call with this metadata.
std::unique_ptr<CallTrace> TraceOf(
    const std::multimap<std::string, std::string>& metadata) {
  grpc::ServerContext context;
  grpc::testing::ServerContextTestSpouse call(&context);
  for (const auto& [key, value] : metadata) call.AddClientMetadata(key, value);
  return BeginTrace(context, Method::kComputeLoss, kReceived);
}

TEST(CallTracing, BeginsWithASampledTraceparent) {
  const auto trace = TraceOf({{"traceparent", kSampled}});
  ASSERT_NE(trace, nullptr);
  EXPECT_EQ(TraceIdOf(trace.get()), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(trace->received, kReceived);
  EXPECT_EQ(trace->method, "ComputeLoss");
  EXPECT_TRUE(trace->is_call);
}

TEST(CallTracing, NeedsExactlyOneTraceparent) {
  EXPECT_EQ(TraceOf({}), nullptr);
  EXPECT_EQ(TraceOf({{"traceparent", kSampled}, {"traceparent", kSampled}}),
            nullptr);
  EXPECT_EQ(TraceOf({{"traceparent", kSampled}, {"traceparent", "x"}}),
            nullptr);
}

TEST(CallTracing, JoinsTheListOfStates) {
  EXPECT_EQ(TraceOf({{"traceparent", kSampled},
                     {"tracestate", "a=1"},
                     {"tracestate", "b=2"}})
                ->parent.state,
            "a=1,b=2");
  EXPECT_EQ(TraceOf({{"traceparent", kSampled},
                     {"tracestate", std::string(300, 'a')},
                     {"tracestate", std::string(300, 'b')}})
                ->parent.state,
            "");
}

TEST(CallTracing, AnEntryIsAChildOfItsStream) {
  EXPECT_EQ(BeginEntryTrace(nullptr, 7, kReceived), nullptr);
  const auto stream = TraceOf({{"traceparent", kSampled}});
  const auto entry = BeginEntryTrace(stream.get(), 7, kReceived);
  EXPECT_EQ(entry->parent.trace_id, stream->parent.trace_id);
  EXPECT_EQ(entry->parent.span_id, stream->span_id);
  EXPECT_NE(entry->span_id, stream->span_id);
  EXPECT_FALSE(entry->is_call);
}

TEST(CallTracing, WithoutATraceNothingIsKept) {
  TraceRequest(kernels::Segment(), nullptr);
  EXPECT_EQ(TraceIdOf(nullptr), "");
}

}  // namespace
}  // namespace lossd::rpc
