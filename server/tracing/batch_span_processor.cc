#include "server/tracing/batch_span_processor.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/steady_time.h"
#include "server/observability/log.h"
#include "server/tracing/otlp_spans.h"

namespace lossd::tracing {
namespace {

constexpr absl::Duration kBetweenWarnings = absl::Minutes(1);

}  // namespace

BatchSpanProcessor::BatchSpanProcessor(BatchSpanProcessorOptions options,
                                       std::unique_ptr<SpanExporter> exporter,
                                       const Clock* clock)
    : options_(std::move(options)),
      exporter_(std::move(exporter)),
      clock_(clock),
      thread_([this] { Run(); }) {}

BatchSpanProcessor::~BatchSpanProcessor() { Shutdown(absl::ZeroDuration()); }

void BatchSpanProcessor::OnEnd(std::unique_ptr<CallTrace> trace) {
  absl::MutexLock lock(&mu_);
  const bool ends = end_ != absl::InfiniteFuture();
  if (ends || queue_.size() >= options_.max_queued_calls) {
    dropped_[ends ? Reason::kShutdown : Reason::kQueueFull] +=
        trace->span_count();
    return;
  }
  queue_.push_back(std::move(trace));
  // The thread waits for one of these two.
  if (queue_.size() == 1 || queue_.size() == options_.max_batch_calls) {
    changed_.Signal();
  }
}

void BatchSpanProcessor::Shutdown(absl::Duration timeout) {
  if (!thread_.joinable()) return;
  {
    absl::MutexLock lock(&mu_);
    end_ = clock_->Now() + timeout;
    changed_.Signal();
  }
  thread_.join();
}

int64_t BatchSpanProcessor::exported_spans() const {
  absl::MutexLock lock(&mu_);
  return exported_;
}

std::map<std::string, int64_t> BatchSpanProcessor::dropped_spans() const {
  absl::MutexLock lock(&mu_);
  const auto count = [this](Reason reason) ABSL_SHARED_LOCKS_REQUIRED(mu_) {
    const auto found = dropped_.find(reason);
    return found == dropped_.end() ? 0 : found->second;
  };
  return {{"queue_full", count(Reason::kQueueFull)},
          {"unreachable", count(Reason::kUnreachable)},
          {"refused", count(Reason::kRefused)},
          {"shutdown", count(Reason::kShutdown)}};
}

void BatchSpanProcessor::Run() {
  for (Batch batch = Take(); !batch.empty(); batch = Take()) Deliver(batch);
}

BatchSpanProcessor::Batch BatchSpanProcessor::Take() {
  absl::MutexLock lock(&mu_);
  while (queue_.empty() && end_ == absl::InfiniteFuture()) {
    clock_->Wait(&mu_, &changed_, absl::InfiniteFuture());
  }
  const absl::Time full_or_late = clock_->Now() + options_.longest_wait;
  while (queue_.size() < options_.max_batch_calls &&
         end_ == absl::InfiniteFuture() && clock_->Now() < full_or_late) {
    clock_->Wait(&mu_, &changed_, full_or_late);
  }
  const auto count = static_cast<std::ptrdiff_t>(
      std::min(queue_.size(), options_.max_batch_calls));
  const auto first = queue_.begin();
  Batch batch(std::make_move_iterator(first),
              std::make_move_iterator(first + count));
  queue_.erase(first, first + count);
  return batch;
}

void BatchSpanProcessor::Deliver(const Batch& batch) {
  const ExportRequest request =
      RequestOf(batch, options_.resource, SteadyToTimeOfDay());
  int64_t spans = 0;
  for (const auto& trace : batch) spans += trace->span_count();
  absl::Duration delay = options_.first_delay;
  for (int attempt = 1;; ++attempt, delay *= 2) {
    const absl::Duration time = TimeForTry();
    if (time <= absl::ZeroDuration()) return Drop(Reason::kShutdown, spans);
    const ExportResult result = exporter_->Export(request, time);
    if (result.outcome != ExportResult::Outcome::kTryAgain) {
      return Count(result, spans);
    }
    Warn(result.reason);
    if (attempt == options_.attempts ||
        !WaitForTry(std::max(delay, result.retry_after))) {
      return Drop(Reason::kUnreachable, spans);
    }
  }
}

absl::Duration BatchSpanProcessor::TimeForTry() const {
  absl::MutexLock lock(&mu_);
  return std::min(options_.timeout, end_ - clock_->Now());
}

bool BatchSpanProcessor::WaitForTry(absl::Duration delay) {
  absl::MutexLock lock(&mu_);
  const absl::Time next =
      clock_->Now() + std::min(delay, options_.longest_delay);
  while (end_ == absl::InfiniteFuture() && clock_->Now() < next) {
    clock_->Wait(&mu_, &changed_, next);
  }
  return end_ == absl::InfiniteFuture();
}

void BatchSpanProcessor::Count(const ExportResult& result, int64_t spans) {
  const bool accepted = result.outcome == ExportResult::Outcome::kAccepted;
  const int64_t refused =
      accepted ? std::clamp<int64_t>(result.refused_spans, 0, spans) : spans;
  if (refused > 0) {
    Warn(result.reason);
    Drop(Reason::kRefused, refused);
  }
  absl::MutexLock lock(&mu_);
  exported_ += spans - refused;
}

void BatchSpanProcessor::Drop(Reason reason, int64_t spans) {
  absl::MutexLock lock(&mu_);
  dropped_[reason] += spans;
}

void BatchSpanProcessor::Warn(const std::string& reason) {
  const absl::Time now = clock_->Now();
  if (now - warned_ < kBetweenWarnings) return;
  warned_ = now;
  observability::LogWarning("spans are not exported", {{"reason", reason}});
}

}  // namespace lossd::tracing
