#include "base/trace_context.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace lossd::tracing {
namespace {

constexpr char kValid[] =
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

// Returns kValid with another text at a position.
std::string With(size_t position, const std::string& text) {
  return std::string(kValid).replace(position, text.size(), text);
}

TEST(Traceparent, SaysTraceSpanAndFlags) {
  const auto context = ParseTraceparent(kValid);
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(TextOf(context->trace_id), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(context->span_id,
            (SpanId{'\xb7', '\xad', 'k', 'q', 'i', ' ', '3', '1'}));
  EXPECT_EQ(context->flags, 1);
  EXPECT_TRUE(context->sampled());
  EXPECT_EQ(context->state, "");
}

TEST(Traceparent, IsSampledByTheLowestBitAlone) {
  EXPECT_FALSE(ParseTraceparent(With(53, "00"))->sampled());
  EXPECT_FALSE(ParseTraceparent(With(53, "fe"))->sampled());
  EXPECT_TRUE(ParseTraceparent(With(53, "03"))->sampled());
  EXPECT_TRUE(ParseTraceparent(With(53, "ff"))->sampled());
}

TEST(Traceparent, MayBeSampledByALookAtTheLowestBit) {
  EXPECT_TRUE(MayBeSampled(kValid));
  EXPECT_TRUE(MayBeSampled(With(53, "ff")));
  EXPECT_TRUE(MayBeSampled(With(0, "cc") + "-what-comes"));
  EXPECT_FALSE(MayBeSampled(With(53, "00")));
  EXPECT_FALSE(MayBeSampled(With(53, "fe")));
  EXPECT_FALSE(MayBeSampled(std::string(kValid).substr(0, 54)));
  EXPECT_FALSE(MayBeSampled(""));
}

TEST(Traceparent, OfALaterVersionIsReadAsFarAsVersion00Goes) {
  EXPECT_TRUE(ParseTraceparent(With(0, "01")).has_value());
  EXPECT_TRUE(ParseTraceparent(With(0, "cc") + "-what-comes").has_value());
  EXPECT_TRUE(ParseTraceparent(With(0, "cc") + "-").has_value());
  EXPECT_FALSE(ParseTraceparent(With(0, "cc") + ".what-comes").has_value());
  EXPECT_FALSE(ParseTraceparent(std::string(kValid) + "-x").has_value());
}

class BadTraceparent : public testing::TestWithParam<std::string> {};

TEST_P(BadTraceparent, IsInvalid) {
  EXPECT_FALSE(ParseTraceparent(GetParam()).has_value());
}

INSTANTIATE_TEST_SUITE_P(
    OfEveryKind, BadTraceparent,
    testing::Values("", "-", "00", std::string(kValid).substr(0, 54),
                    std::string(kValid) + "0", absl::StrCat(" ", kValid),
                    std::string(kValid) + " ", With(0, "ff"), With(0, "0g"),
                    With(0, "0A"), With(2, "_"), With(35, "_"), With(52, "_"),
                    With(3, "00000000000000000000000000000000"),
                    With(36, "0000000000000000"), With(3, "0AF7"),
                    With(36, "B7AD"), With(53, "0x"), With(53, "0A"),
                    With(10, "-"), With(40, std::string(1, '\0')),
                    std::string(kValid) + "," + kValid, std::string(55, '-'),
                    std::string(55, '\xff'), std::string(5000, '0')));

TEST(Tracestate, IsPassedOnIfItIsShortAndPrintable) {
  EXPECT_TRUE(IsTracestate(""));
  EXPECT_TRUE(IsTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"));
  EXPECT_TRUE(IsTracestate(std::string(kMaxTracestateBytes, 'a')));
  EXPECT_FALSE(IsTracestate(std::string(kMaxTracestateBytes + 1, 'a')));
  EXPECT_FALSE(IsTracestate("a=\n"));
  EXPECT_FALSE(IsTracestate("a=\xc3\xa9"));
}

}  // namespace
}  // namespace lossd::tracing
