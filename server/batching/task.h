// One admitted request as the batcher and the executors see it.
#ifndef LOSSD_SERVER_BATCHING_TASK_H_
#define LOSSD_SERVER_BATCHING_TASK_H_

#include <atomic>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "kernels/rows.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::batching {

struct Flow;

// The outcome of a task whose blocks were computed.
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

// One request on its way through the server. Its RPC owns it (D20). The batcher
// and the executors borrow it from Batcher::Enqueue() until exactly one of
// OnComputed() and OnDropped() is called, exactly once, on any thread. After
// that call nobody else touches the task, so the call may destroy it. The
// groups of members say which thread may use them.
class Task {
 public:
  virtual ~Task() = default;

  // All blocks are computed; the gradient is in segment.gradient.
  virtual void OnComputed(const Computed& computed) = 0;

  // The task will not be computed. `why` is DEADLINE_EXCEEDED, CANCELLED,
  // UNAVAILABLE or INTERNAL.
  virtual void OnDropped(const absl::Status& why) = 0;

  // --- set by the owner before Enqueue(), constant after it ---
  kernels::Segment segment;
  absl::Time deadline = absl::InfiniteFuture();
  // Tasks of one connection have the same number. Flows share the executors
  // fairly (flows.h).
  uint64_t flow = 0;
  // The number of its training job in the metrics; 0 if it names none.
  uint64_t job = 0;
  // The loss_weight of its request. That of a window's segment is 1 where the
  // client is to scale the gradient.
  double loss_weight = 1;
  // The blocks of its request that come before it: not 0 for the later windows
  // of a stream.
  uint64_t blocks_before = 0;

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
  // A gradient whose scale depends on counts takes two phases over its blocks.
  // The second phase begins when the last block of the first is done; no batch
  // has a block of the task at that moment.
  enum class Phase : uint8_t { kCounting, kComputing };
  Phase phase = Phase::kComputing;
  double gradient_scale = 0;  // in phase kComputing
  // One per block, unless IsIndivisible(): each is written by the executor that
  // was given the block.
  absl::InlinedVector<kernels::BlockPartial, 1> partials;
  // The memory of a segment's rows, if it has any.
  struct Rows {
    std::vector<double> sums;                // Segment::row_sums
    std::vector<kernels::RowCounts> counts;  // Segment::row_counts
    kernels::RowFactors factors;             // replace Segment::upstream
    kernels::Piece factor_bytes;
  } rows;
  // Blocks of this phase that are not done yet. The executor that brings this
  // to 0 ends the phase.
  std::atomic<uint64_t> blocks_left{0};
  // The batch that was given the first block; the batcher sets these.
  absl::Time started;
  int64_t batch_requests = 0;
  int64_t batch_elements = 0;
};

// Returns whether a task of this segment goes to one executor whole: its
// tensors lie on a device, so nothing is copied that several batches could
// overlap. That executor has all partials at once, and the task keeps none
// (D64).
inline bool IsIndivisible(const kernels::Segment& segment) {
  return segment.device != kernels::kHost;
}

// Makes a task ready for its first block, once its owner has set it up.
// Batcher::Enqueue() calls this.
void Prepare(Task& task);

// Sets the gradient's scale of a task whose blocks are counted; `counts` is the
// sum of its partials. All blocks are to be computed next.
void BeginComputing(Task& task, const kernels::Totals& counts);

// Returns the bytes that are allocated for a task with this segment: a partial
// for each block, if there is more than one and the task keeps them, and those
// of rows. Admission charges them, because tensors that are only named (in
// shared memory, by their ones) cost nothing else (D19).
uint64_t PreparedBytes(const kernels::Segment& segment);

// Returns the answer of a prepared task whose partials have these sums, or of
// one that keeps its partials. The fields about its execution are copied from
// the task; `backend` and `finished` are left for the caller to set.
Computed AnswerOf(const Task& task, const kernels::Totals& totals);
Computed AnswerOf(const Task& task);

}  // namespace lossd::batching

#endif  // LOSSD_SERVER_BATCHING_TASK_H_
