#include "server/tracing/call_trace.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "tests/server/tracing/some_trace.h"

namespace lossd::tracing {
namespace {

TEST(CallTrace, OfSeveralTasksBeginsWithTheFirstAndEndsWithTheLast) {
  const auto trace = SomeTrace();
  trace->AddTask(After(2), After(4), After(6));
  trace->AddTask(After(1), After(5), After(9));
  trace->AddTask(After(3), After(3), After(7));
  EXPECT_EQ(trace->enqueued, After(1));
  EXPECT_EQ(trace->started, After(3));
  EXPECT_EQ(trace->computed, After(9));
}

TEST(CallTrace, ATaskThatWasDroppedDidNotStart) {
  const auto trace = SomeTrace();
  trace->AddTask(After(2), absl::Time(), absl::InfinitePast());
  EXPECT_EQ(trace->enqueued, After(2));
  EXPECT_EQ(trace->started, absl::InfiniteFuture());
  EXPECT_EQ(trace->computed, absl::InfinitePast());
  EXPECT_EQ(trace->span_count(), 4);
}

TEST(CallTrace, KeepsTheFirstDecisionAboutTheAnswer) {
  const auto trace = SomeTrace();
  trace->NoteAnswer(After(5));
  trace->NoteAnswer(After(6));
  EXPECT_EQ(trace->answered, After(5));
}

TEST(CallTrace, CutsAndCleansTexts) {
  const auto trace = SomeTrace();
  trace->Add("key", "a\xff\n\xc3\xa9z");
  trace->Add("key", "");
  trace->Add("long", std::string(1 << 20, 'x'));
  ASSERT_EQ(trace->attributes.size(), 2U);
  EXPECT_EQ(std::get<std::string>(trace->attributes[0].value), "a????z");
  EXPECT_EQ(std::get<std::string>(trace->attributes[1].value).size(),
            kMaxTextBytes);
  trace->End(After(1), absl::StatusCode::kInternal, std::string(5000, '\n'));
  EXPECT_EQ(trace->reason, std::string(kMaxTextBytes, '?'));
}

TEST(SpanIds, AreNotZeroAndDiffer) {
  std::set<SpanId> ids = {SpanId{}};
  for (int i = 0; i < 1000; ++i) ids.insert(NewSpanId());
  EXPECT_EQ(ids.size(), 1001U);
}

}  // namespace
}  // namespace lossd::tracing
