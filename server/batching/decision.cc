#include "server/batching/decision.h"

#include <algorithm>

#include "kernels/sigmoid_loss.h"

namespace lossd::batching {
namespace {

constexpr uint64_t kBlock = kernels::kBlockElements;

// A hold ends this long before a deadline, beside the time to compute: for
// waking an executor, and for the reply.
constexpr absl::Duration kDeadlineMargin = absl::Milliseconds(1);

// The parts of a direct task that make batches above max_batch_elements.
constexpr uint64_t kDirectParts = 16;  // D63

int64_t CeilDiv(int64_t a, int64_t b) { return a / b + (a % b != 0); }

// Returns an executor's share of the queue, within the limits of a batch.
int64_t Share(int64_t queued_elements, int64_t most,
              const BatcherOptions& options) {
  const int64_t share = CeilDiv(queued_elements, options.executors);
  return std::min(std::max(share, options.min_portion_elements), most);
}

bool IsFull(const QueueView& queue, const BatcherOptions& options) {
  return queue.requests >= options.max_batch_requests ||
         queue.elements >= options.max_batch_elements;
}

}  // namespace

Timing WhenToTake(const QueueView& queue, absl::Time now, int idle_executors,
                  const BatcherOptions& options) {
  if (queue.requests == 0 || idle_executors <= 0) return {};
  const Timing take = {.verdict = Timing::Verdict::kTake};
  if (options.max_queue_delay <= absl::ZeroDuration()) return take;
  if (queue.begun || queue.closed || IsFull(queue, options)) return take;
  if (queue.oldest > now) return take;
  const absl::Time until = std::min(
      queue.oldest + options.max_queue_delay,
      queue.earliest_deadline - queue.time_to_compute - kDeadlineMargin);
  if (until <= now) return take;
  return {.verdict = Timing::Verdict::kWait, .until = until};
}

int64_t ElementLimit(int64_t queued_elements, const BatcherOptions& options) {
  return Share(queued_elements, options.max_batch_elements, options);
}

int64_t ElementLimitOf(const HeadView& head, int64_t queued_elements,
                       const BatcherOptions& options) {
  int64_t most = options.max_batch_elements;
  if (head.direct) {
    const auto part = static_cast<int64_t>(head.element_count / kDirectParts);
    most = std::max(most, std::min(part, options.max_direct_elements));
  }
  return Share(queued_elements, most, options);
}

int64_t BatchesWaiting(const QueueView& queue, const BatcherOptions& options) {
  if (queue.requests == 0) return 0;
  const int64_t limit = ElementLimit(queue.elements, options);
  return std::max({int64_t{1}, CeilDiv(queue.elements, limit),
                   CeilDiv(queue.requests, options.max_batch_requests)});
}

uint64_t BlocksToTake(const Filling& batch, int64_t element_limit,
                      const HeadView& head, const BatcherOptions& options) {
  if (batch.requests >= options.max_batch_requests) return 0;
  const bool empty = batch.requests == 0;
  const uint64_t left = head.element_count - head.next_block * kBlock;
  const auto room = static_cast<uint64_t>(
      std::max<int64_t>(0, element_limit - batch.elements));
  const uint64_t all = (left + kBlock - 1) / kBlock;
  if (left <= room) return all;
  if (head.indivisible) return empty ? all : 0;
  if (empty) return std::max<uint64_t>(1, room / kBlock);
  // A sliver would tie the task's end to this batch and save nothing.
  const bool sliver =
      room < static_cast<uint64_t>(options.min_portion_elements);
  return sliver ? 0 : room / kBlock;
}

int64_t ElementsIn(uint64_t element_count, uint64_t first_block,
                   uint64_t blocks) {
  const uint64_t end = std::min((first_block + blocks) * kBlock, element_count);
  return static_cast<int64_t>(end - first_block * kBlock);
}

}  // namespace lossd::batching
