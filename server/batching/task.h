// One admitted request as the batcher and the executors see it.
#ifndef LOSSD_SERVER_BATCHING_TASK_H_
#define LOSSD_SERVER_BATCHING_TASK_H_

#include <atomic>
#include <cstdint>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::batching {

struct Flow;

// What became of a task whose blocks were computed.
struct Computed {
  kernels::Totals totals;
  double normalizer = 1;
  // A string that lives as long as the server. Empty if no executor computed
  // the task, because it has no elements.
  std::string_view backend;
  int64_t batch_requests = 0;
  int64_t batch_elements = 0;
  absl::Time started;   // when its first batch was taken
  absl::Time finished;  // when its last block was computed
};

// A task is owned by its RPC and borrowed by the batcher and the executors from
// Batcher::Enqueue() until exactly one of OnComputed() and OnDropped() is
// called, exactly once, on any thread. After that call nobody else touches the
// task: the call may destroy it.
class Task {  // D20
 public:
  virtual ~Task() = default;

  // All blocks are computed; the gradient is in segment.gradient.
  virtual void OnComputed(const Computed& computed) = 0;

  // It was never computed: DEADLINE_EXCEEDED, CANCELLED, UNAVAILABLE or
  // INTERNAL.
  virtual void OnDropped(const absl::Status& why) = 0;

  // --- set by the owner before Enqueue(), constant after it ---
  kernels::Segment segment;
  absl::Time deadline = absl::InfiniteFuture();
  // Whose it is: tasks of one connection have one number, and flows share the
  // executors fairly (flows.h).
  uint64_t flow = 0;

  // --- owned by the batcher, guarded by its mutex ---
  absl::Time enqueued;      // Enqueue() sets it
  uint64_t next_block = 0;  // the first block that no executor has been given
  // Its place in the queue (queue.h).
  struct Place {
    uint64_t arrival = 0;
    bool untouched = false;  // in the queue, and no block of it was given out
    Flow* in = nullptr;      // its flow, while it is untouched
    Task* older = nullptr;   // neighbours by arrival among the untouched
    Task* newer = nullptr;
  } place;

  // --- owned by the executors ---
  // A gradient whose scale depends on counts takes two rounds over its blocks.
  // The second begins when the last block of the first is done; no block is out
  // then.
  enum class Phase : uint8_t { kCounting, kComputing };
  Phase phase = Phase::kComputing;
  double gradient_scale = 0;  // in phase kComputing
  // One per block; each is written by the executor that was given the block.
  absl::InlinedVector<kernels::BlockPartial, 1> partials;
  // Blocks of this phase that are not done yet; whoever brings it to 0 ends the
  // phase.
  std::atomic<uint64_t> blocks_left{0};
  // The batch that was given its first block; the batcher sets them.
  absl::Time started;
  int64_t batch_requests = 0;
  int64_t batch_elements = 0;
};

// Makes a task whose owner has set it up ready for its first block. Enqueue()
// does it.
void Prepare(Task& task);

// Memory that this takes beside the task: a partial for each block of a segment
// that has more than one. For admission, as tensors that are only named cost
// nothing else.
uint64_t PreparedBytes(const kernels::Segment& segment);  // D19

// Adds up the partials of a prepared task. The sums of a task without blocks
// are zeros. The fields about its execution are copied from the task; `backend`
// and `finished` are left for the caller to set.
Computed AnswerOf(const Task& task);

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_TASK_H_
