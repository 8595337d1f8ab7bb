#include "server/tracing/otlp_spans.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/server/tracing/some_trace.h"

namespace lossd::tracing {
namespace {

using opentelemetry::proto::trace::v1::Span;
using opentelemetry::proto::trace::v1::Status;
using testing::ElementsAre;
using testing::Pair;

std::vector<Span> SpansOf(std::unique_ptr<CallTrace> trace) {
  std::vector<std::unique_ptr<CallTrace>> traces;
  const int64_t count = trace->span_count();
  traces.push_back(std::move(trace));
  const ExportRequest request = RequestOf(traces, {});
  const auto& spans = request.resource_spans(0).scope_spans(0).spans();
  EXPECT_EQ(spans.size(), count);
  return {spans.begin(), spans.end()};
}

// Returns the milliseconds after the call's arrival at which each span begins
// and ends, by its name.
std::map<std::string, std::pair<int64_t, int64_t>> TimesOf(
    const std::vector<Span>& spans) {
  const auto milliseconds = [](uint64_t nanoseconds) {
    return (static_cast<int64_t>(nanoseconds) - absl::ToUnixNanos(After(0))) /
           1'000'000;
  };
  std::map<std::string, std::pair<int64_t, int64_t>> times;
  for (const Span& span : spans) {
    times[span.name()] = {milliseconds(span.start_time_unix_nano()),
                          milliseconds(span.end_time_unix_nano())};
  }
  return times;
}

// Returns the attributes of a span as text.
std::map<std::string, std::string> AttributesOf(const Span& span) {
  std::map<std::string, std::string> attributes;
  for (const auto& pair : span.attributes()) {
    attributes[pair.key()] = pair.value().has_int_value()
                                 ? std::to_string(pair.value().int_value())
                                 : pair.value().string_value();
  }
  return attributes;
}

constexpr char kCall[] = "lossd.v1.LossService/ComputeLoss";

TEST(OtlpSpans, AreTimesOfDay) {
  std::vector<std::unique_ptr<CallTrace>> traces;
  traces.push_back(EndedTrace());
  const auto spans = [&](absl::Duration shift) {
    return RequestOf(traces, {}, shift).resource_spans(0).scope_spans(0);
  };
  const auto steady = spans(absl::ZeroDuration());
  for (const absl::Duration shift : {absl::Hours(1), -absl::Hours(1)}) {
    const auto told = spans(shift);
    ASSERT_GT(told.spans_size(), 1);
    for (int i = 0; i < told.spans_size(); ++i) {
      EXPECT_EQ(static_cast<int64_t>(told.spans(i).start_time_unix_nano() -
                                     steady.spans(i).start_time_unix_nano()),
                absl::ToInt64Nanoseconds(shift));
      EXPECT_EQ(static_cast<int64_t>(told.spans(i).end_time_unix_nano() -
                                     steady.spans(i).end_time_unix_nano()),
                absl::ToInt64Nanoseconds(shift));
    }
  }
}

TEST(OtlpSpans, StagesFollowEachOther) {
  EXPECT_THAT(
      TimesOf(SpansOf(EndedTrace())),
      ElementsAre(Pair("compute", Pair(3, 7)), Pair(kCall, Pair(0, 15)),
                  Pair("queue", Pair(1, 3)), Pair("receive", Pair(0, 1)),
                  Pair("reply", Pair(7, 15))));
}

TEST(OtlpSpans, ARefusedCallIsRepliedToFromWhereItIs) {
  auto trace = SomeTrace();
  trace->NoteAnswer(After(4));
  trace->End(After(5), absl::StatusCode::kResourceExhausted, "full");
  EXPECT_THAT(TimesOf(SpansOf(std::move(trace))),
              ElementsAre(Pair(kCall, Pair(0, 5)), Pair("receive", Pair(0, 4)),
                          Pair("reply", Pair(4, 5))));
}

TEST(OtlpSpans, ACallThatIsDroppedInTheQueueIsNotComputed) {
  auto trace = SomeTrace();
  trace->AddTask(After(2), absl::Time(), absl::InfinitePast());
  trace->NoteAnswer(After(4));
  trace->End(After(5), absl::StatusCode::kDeadlineExceeded, "late");
  EXPECT_THAT(
      TimesOf(SpansOf(std::move(trace))),
      ElementsAre(Pair(kCall, Pair(0, 5)), Pair("queue", Pair(2, 4)),
                  Pair("receive", Pair(0, 2)), Pair("reply", Pair(4, 5))));
}

TEST(OtlpSpans, DoNotEndBeforeTheyStartIfTheClockIsSetBack) {
  auto trace = SomeTrace();
  trace->AddTask(After(-100), After(-200), After(-300));
  trace->NoteAnswer(After(-400));
  trace->End(After(-500), absl::StatusCode::kOk, "");
  for (const Span& span : SpansOf(std::move(trace))) {
    EXPECT_LE(span.start_time_unix_nano(), span.end_time_unix_nano());
  }
}

TEST(OtlpSpans, BelongToTheCallersTrace) {
  auto trace = EndedTrace();
  trace->parent.state = "rojo=1";
  trace->parent.flags = 3;
  const TraceContext parent = trace->parent;
  const std::string id(trace->span_id.data(), trace->span_id.size());
  const std::vector<Span> spans = SpansOf(std::move(trace));
  EXPECT_EQ(spans[0].span_id(), id);
  EXPECT_EQ(spans[0].parent_span_id(),
            std::string(parent.span_id.data(), parent.span_id.size()));
  EXPECT_EQ(spans[0].kind(), Span::SPAN_KIND_SERVER);
  EXPECT_EQ(spans[0].flags(), 0x303U);
  for (const Span& span : spans) {
    EXPECT_EQ(span.trace_id(),
              std::string(parent.trace_id.data(), parent.trace_id.size()));
    EXPECT_EQ(span.trace_state(), "rojo=1");
    if (span.name() == kCall) continue;
    EXPECT_EQ(span.parent_span_id(), id);
    EXPECT_NE(span.span_id(), id);
    EXPECT_EQ(span.kind(), Span::SPAN_KIND_INTERNAL);
    EXPECT_EQ(span.flags(), 0x103U);
  }
}

TEST(OtlpSpans, AnEntryIsNoCall) {
  auto trace = EndedTrace();
  trace->is_call = false;
  const Span entry = SpansOf(std::move(trace))[0];
  EXPECT_EQ(entry.kind(), Span::SPAN_KIND_INTERNAL);
  EXPECT_EQ(entry.flags(), 0x101U);
}

TEST(OtlpSpans, AStreamOfEntriesHasOneSpan) {
  auto trace = EndedTrace();
  trace->has_stages = false;
  EXPECT_EQ(SpansOf(std::move(trace)).size(), 1U);
}

TEST(OtlpSpans, HaveTheAttributesOfAnRpc) {
  auto trace = EndedTrace();
  trace->Add("lossd.elements", 64);
  trace->Add("lossd.request_id", "abc");
  trace->compute_attributes = {{"lossd.batch_requests", int64_t{3}}};
  const std::vector<Span> spans = SpansOf(std::move(trace));
  EXPECT_THAT(
      AttributesOf(spans[0]),
      ElementsAre(Pair("lossd.elements", "64"), Pair("lossd.request_id", "abc"),
                  Pair("rpc.grpc.status_code", "0"),
                  Pair("rpc.method", "ComputeLoss"),
                  Pair("rpc.service", "lossd.v1.LossService"),
                  Pair("rpc.system", "grpc")));
  EXPECT_FALSE(spans[0].has_status());
  for (const Span& span : spans) {
    if (span.name() != "compute") continue;
    EXPECT_THAT(AttributesOf(span),
                ElementsAre(Pair("lossd.batch_requests", "3")));
  }
}

TEST(OtlpSpans, OnlyTheServersOwnFaultsAreErrors) {
  using Code = absl::StatusCode;
  for (const auto& [code, is_error] :
       {std::pair(Code::kInternal, true), std::pair(Code::kUnavailable, true),
        std::pair(Code::kInvalidArgument, false),
        std::pair(Code::kCancelled, false)}) {
    auto trace = SomeTrace();
    trace->End(After(1), code, "why");
    const Span span = SpansOf(std::move(trace))[0];
    EXPECT_EQ(span.status().code() == Status::STATUS_CODE_ERROR, is_error);
    EXPECT_EQ(span.status().message(), is_error ? "why" : "");
    EXPECT_EQ(AttributesOf(span)["lossd.reason"], "why");
    EXPECT_EQ(AttributesOf(span)["rpc.grpc.status_code"],
              std::to_string(static_cast<int>(code)));
  }
}

TEST(OtlpSpans, SayWhichProcessMadeThem) {
  const std::vector<std::unique_ptr<CallTrace>> none;
  const ExportRequest request =
      RequestOf(none, {{"service.name", "a"}, {"process.pid", int64_t{7}}});
  const auto& resource = request.resource_spans(0).resource();
  ASSERT_EQ(resource.attributes_size(), 2);
  EXPECT_EQ(resource.attributes(0).key(), "service.name");
  EXPECT_EQ(resource.attributes(0).value().string_value(), "a");
  EXPECT_EQ(resource.attributes(1).value().int_value(), 7);
  EXPECT_EQ(request.resource_spans(0).scope_spans(0).scope().name(), "lossd");
}

}  // namespace
}  // namespace lossd::tracing
