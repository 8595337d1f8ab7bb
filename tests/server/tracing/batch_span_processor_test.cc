#include "server/tracing/batch_span_processor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "tests/server/fake_clock.h"
#include "tests/server/tracing/some_trace.h"

namespace lossd::tracing {
namespace {

using Outcome = ExportResult::Outcome;
using testing::ElementsAre;
using testing::Pair;

constexpr int kSpans = 5;  // of EndedTrace()

// A collector that answers when the test says so. Thread-safe.
class Collector {
 public:
  // The exporter's side: returns the next answer, as soon as there is one.
  ExportResult Answer(int spans, absl::Duration timeout) {
    absl::MutexLock lock(&mu_);
    exports_.push_back({spans, timeout});
    auto ready = [this]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return !answers_.empty();
    };
    mu_.Await(absl::Condition(&ready));
    ExportResult answer = answers_.front();
    answers_.pop_front();
    return answer;
  }

  void Say(ExportResult answer, int times = 1) {
    absl::MutexLock lock(&mu_);
    for (int i = 0; i < times; ++i) answers_.push_back(answer);
  }

  struct Export {
    int spans;
    absl::Duration timeout;
  };
  // Blocks until there were so many exports, and returns them.
  std::vector<Export> Await(size_t count) {
    absl::MutexLock lock(&mu_);
    auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mu_) {
      return exports_.size() >= count;
    };
    mu_.Await(absl::Condition(&there));
    return exports_;
  }

 private:
  absl::Mutex mu_;
  std::deque<ExportResult> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<Export> exports_ ABSL_GUARDED_BY(mu_);
};

class FakeExporter final : public SpanExporter {
 public:
  explicit FakeExporter(Collector* collector) : collector_(collector) {}
  ExportResult Export(const ExportRequest& request,
                      absl::Duration timeout) override {
    return collector_->Answer(
        request.resource_spans(0).scope_spans(0).spans_size(), timeout);
  }

 private:
  Collector* const collector_;
};

class Processor : public testing::Test {
 protected:
  static BatchSpanProcessorOptions Options() {
    BatchSpanProcessorOptions options;
    options.max_queued_calls = 4;
    options.max_batch_calls = 2;
    options.attempts = 3;
    return options;
  }
  void End(int calls) {
    for (int i = 0; i < calls; ++i) processor_.OnEnd(EndedTrace());
  }
  void Advance(absl::Duration by) {
    clock_.AwaitWaiterUntil(clock_.Now() + by);
    clock_.Advance(by);
  }
  int64_t Dropped(const std::string& reason) {
    return processor_.dropped_spans().at(reason);
  }

  FakeClock clock_;
  Collector collector_;
  BatchSpanProcessor processor_{
      Options(), std::make_unique<FakeExporter>(&collector_), &clock_};
};

TEST_F(Processor, SendsAFullBatchAtOnce) {
  collector_.Say({});
  End(2);
  EXPECT_EQ(collector_.Await(1)[0].spans, 2 * kSpans);
  processor_.Shutdown(absl::Seconds(1));
  EXPECT_EQ(processor_.exported_spans(), 2 * kSpans);
}

TEST_F(Processor, SendsAPartOfABatchAfterAWhile) {
  collector_.Say({});
  End(1);
  Advance(absl::Seconds(1));
  EXPECT_EQ(collector_.Await(1)[0].spans, kSpans);
  EXPECT_EQ(collector_.Await(1)[0].timeout, Options().timeout);
}

TEST_F(Processor, DropsWhatItsQueueHasNoRoomFor) {
  End(2);
  collector_.Await(1);  // it has them, and does not answer
  End(7);
  EXPECT_EQ(Dropped("queue_full"), 3 * kSpans);
  collector_.Say({}, 3);
  processor_.Shutdown(absl::Seconds(1));
  EXPECT_EQ(processor_.exported_spans(), 6 * kSpans);
}

TEST_F(Processor, TriesAgainAfterTimesThatDouble) {
  collector_.Say({.outcome = Outcome::kTryAgain, .reason = "away"}, 2);
  collector_.Say({});
  End(2);
  Advance(absl::Seconds(1));
  Advance(absl::Seconds(2));
  EXPECT_EQ(collector_.Await(3)[2].spans, 2 * kSpans);
  processor_.Shutdown(absl::Seconds(1));
  EXPECT_EQ(processor_.exported_spans(), 2 * kSpans);
}

TEST_F(Processor, WaitsAsLongAsTheCollectorAsksWithinBounds) {
  collector_.Say(
      {.outcome = Outcome::kTryAgain, .retry_after = absl::Seconds(7)});
  collector_.Say(
      {.outcome = Outcome::kTryAgain, .retry_after = absl::Hours(1)});
  collector_.Say({});
  End(2);
  Advance(absl::Seconds(7));
  Advance(Options().longest_delay);
  collector_.Await(3);
}

TEST_F(Processor, GivesABatchUpThatIsNeverAnswered) {
  collector_.Say({.outcome = Outcome::kTryAgain, .reason = "away"}, 3);
  End(2);
  Advance(absl::Seconds(1));
  Advance(absl::Seconds(2));
  collector_.Await(3);
  End(2);  // the next batch has its own tries
  collector_.Await(4);
  EXPECT_EQ(Dropped("unreachable"), 2 * kSpans);
  collector_.Say({});
}

TEST_F(Processor, DoesNotRepeatWhatIsRefused) {
  collector_.Say({.outcome = Outcome::kRefused, .reason = "HTTP status 400"});
  collector_.Say({.reason = "no room", .refused_spans = 3});
  collector_.Say({.refused_spans = -1});
  End(2);
  collector_.Await(1);
  End(2);
  collector_.Await(2);
  End(2);
  processor_.Shutdown(absl::Seconds(1));
  EXPECT_EQ(collector_.Await(3).size(), 3U);
  EXPECT_EQ(Dropped("refused"), 2 * kSpans + 3);
  EXPECT_EQ(processor_.exported_spans(), 4 * kSpans - 3);
}

TEST_F(Processor, SendsTheRestAtTheEnd) {
  collector_.Say({}, 2);
  End(1);
  processor_.Shutdown(absl::Seconds(2));
  EXPECT_EQ(collector_.Await(1)[0].timeout, absl::Seconds(2));
  EXPECT_EQ(processor_.exported_spans(), kSpans);
  End(1);
  EXPECT_EQ(Dropped("shutdown"), kSpans);
}

TEST_F(Processor, DoesNotTryAgainAtTheEnd) {
  collector_.Say({.outcome = Outcome::kTryAgain, .reason = "away"}, 2);
  End(2);
  clock_.AwaitWaiterUntil(clock_.Now() + absl::Seconds(1));
  End(1);
  processor_.Shutdown(absl::Seconds(2));
  EXPECT_EQ(collector_.Await(2).size(), 2U);
  EXPECT_EQ(Dropped("unreachable"), 3 * kSpans);
}

TEST_F(Processor, WithoutTimeDropsTheRest) {
  End(1);
  processor_.Shutdown(absl::ZeroDuration());
  EXPECT_THAT(processor_.dropped_spans(),
              ElementsAre(Pair("queue_full", 0), Pair("refused", 0),
                          Pair("shutdown", kSpans), Pair("unreachable", 0)));
}

}  // namespace
}  // namespace lossd::tracing
