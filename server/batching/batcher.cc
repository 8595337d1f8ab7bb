#include "server/batching/batcher.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace lossd::batching {
namespace {

// Tasks dropped in one go: the mutex is not held for longer than that takes.
constexpr size_t kMaxDroppedAtOnce = 256;

// Batches that one RunInline() computes before it leaves the rest to executors.
constexpr int kMaxInlineBatches = 4;

bool HasAllBlocks(const Portion& portion) {
  return portion.block_count == kernels::BlockCount(portion.task->segment);
}

HeadView ViewOf(const Task& task) {
  return {.element_count = task.segment.element_count,
          .next_block = task.next_block,
          .indivisible = IsIndivisible(task.segment),
          .direct = task.segment.logits.pinned};
}

// Answers a task that has no block for an executor to compute.
void AnswerEmpty(Task& task, absl::Time now) {
  task.enqueued = task.started = now;
  Computed computed = AnswerOf(task);
  computed.finished = now;
  task.OnComputed(computed);
}

template <typename Tasks>
void DropExpired(const Tasks& tasks) {
  for (Task* task : tasks) {
    task->OnDropped(
        absl::DeadlineExceededError("the deadline passed in the queue"));
  }
}

}  // namespace

Batch::Batch(Batch&& other) noexcept
    : portions(std::move(other.portions)),
      elements(other.elements),
      taken(other.taken),
      batcher_(std::exchange(other.batcher_, nullptr)),
      taken_requests_(other.taken_requests_),
      taken_elements_(other.taken_elements_),
      inline_(other.inline_) {}

Batch::~Batch() {
  if (batcher_ != nullptr) batcher_->Return(*this);
}

void Batch::PutBack(Task* task) { batcher_->PutBack(task); }

Batcher::Batcher(const BatcherOptions& options, const Clock* clock)
    : max_inline_elements_(options.max_inline_elements),
      clock_(clock),
      options_(options),
      queue_(options.flow_quantum_elements) {}

Batcher::~Batcher() {
  absl::MutexLock lock(&mu_);
  assert(queue_.empty() && batches_in_flight_ == 0 && sleeping_ + waking_ == 0);
}

void Batcher::Enqueue(Task* task, bool may_run_inline) {
  Prepare(*task);
  const absl::Time now = clock_->Now();
  if (task->segment.element_count == 0) return AnswerEmpty(*task, now);
  task->enqueued = now;
  {
    absl::MutexLock lock(&mu_);
    if (!closed_) {
      queue_.Insert(task);
      if (!may_run_inline) WakeAsNeeded(now);
      return;
    }
  }
  task->OnDropped(absl::UnavailableError("the server is draining"));
}

bool Batcher::Remove(Task* task) {
  absl::MutexLock lock(&mu_);
  const bool removed = queue_.Remove(task);
  if (removed && Finished()) WakeAsNeeded(clock_->Now());
  return removed;
}

void Batcher::RunInline(BatchRunner& runner) {
  int64_t room = max_inline_elements_;
  int ended_runs = 0;
  for (int batches = 0;;) {
    Tasks expired;
    std::optional<Batch> batch;
    {
      absl::MutexLock lock(&mu_);
      const absl::Time now = clock_->Now();
      inline_runs_ -= std::exchange(ended_runs, 0);
      expired = PopExpired(now);
      const bool small = queue_.elements() <= room;
      if (small && batches < kMaxInlineBatches) TryTake(now, &batch);
      if (batch) {
        batch->inline_ = true;
        ++inline_runs_;
      } else {
        WakeAsNeeded(now);
      }
    }
    DropExpired(expired);
    if (batch) {
      ++batches;
      room -= batch->elements;
      runner.Run(*std::move(batch));
      ended_runs = 1;
    } else if (expired.empty()) {
      return;
    }
  }
}

std::optional<Batch> Batcher::Take() {
  for (;;) {
    Tasks expired;
    std::optional<Batch> batch;
    bool finished = false;
    {
      absl::MutexLock lock(&mu_);
      const absl::Time now = clock_->Now();
      expired = PopExpired(now);
      TryTake(now, &batch);
      finished = !batch && Finished();
      if (batch || finished) {
        WakeAsNeeded(now);  // for the tasks that are left, or for the end
      } else if (expired.empty()) {
        Sleep(now);
      }
    }
    DropExpired(expired);
    if (batch || finished) return batch;
  }
}

void Batcher::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  WakeAsNeeded(clock_->Now());
}

void Batcher::DropQueued(const absl::Status& why) {
  for (;;) {
    Tasks tasks;
    {
      absl::MutexLock lock(&mu_);
      while (queue_.oldest() != nullptr && tasks.size() < kMaxDroppedAtOnce) {
        tasks.push_back(queue_.oldest());
        queue_.Remove(queue_.oldest());
      }
      if (Finished()) WakeAsNeeded(clock_->Now());
    }
    if (tasks.empty()) return;
    for (Task* task : tasks) task->OnDropped(why);
  }
}

void Batcher::LoseExecutors(int count) {
  absl::MutexLock lock(&mu_);
  options_.executors = std::max(1, options_.executors - count);
}

int Batcher::executors() const {
  absl::MutexLock lock(&mu_);
  return options_.executors;
}

int64_t Batcher::queued_requests() const {
  absl::MutexLock lock(&mu_);
  return queue_.requests();
}

int64_t Batcher::queued_elements() const {
  absl::MutexLock lock(&mu_);
  return queue_.elements();
}

int Batcher::busy_executors() const {
  absl::MutexLock lock(&mu_);
  return batches_in_flight_;
}

absl::Duration Batcher::ExpectedWait(uint64_t flow) const {
  absl::MutexLock lock(&mu_);
  if (queue_.empty() && batches_in_flight_ < options_.executors) {
    return absl::ZeroDuration();
  }
  const Work ahead = queue_.Ahead(flow);
  return cost_.Estimate(ahead.requests + requests_in_flight_,
                        ahead.elements + elements_in_flight_) /
         options_.executors;
}

void Batcher::PutBack(Task* task) {
  absl::MutexLock lock(&mu_);
  queue_.PutBack(task);
  --counting_;
  WakeAsNeeded(clock_->Now());
}

void Batcher::Return(const Batch& batch) {
  absl::MutexLock lock(&mu_);
  const absl::Time now = clock_->Now();
  --batches_in_flight_;
  requests_in_flight_ -= batch.taken_requests_;
  elements_in_flight_ -= batch.taken_elements_;
  cost_.Learn(batch.taken_requests_, batch.taken_elements_, now - batch.taken);
  // A thread in RunInline() looks at the queue itself after Run(): nobody needs
  // to be woken for that.
  const bool is_looked_after = batch.inline_ && inline_runs_ > 0;
  if (!is_looked_after) WakeAsNeeded(now);
}

QueueView Batcher::View() const {
  QueueView view;
  view.requests = queue_.requests();
  view.elements = queue_.elements();
  view.begun = queue_.has_begun();
  view.closed = closed_;
  if (const Task* oldest = queue_.oldest(); oldest != nullptr) {
    view.oldest = oldest->enqueued;
  }
  if (const Task* first = queue_.first_to_expire(); first != nullptr) {
    view.earliest_deadline = first->deadline;
  }
  view.time_to_compute = cost_.Estimate(view.requests, view.elements);
  return view;
}

// A task that is being counted comes back: until then no thread may leave.
bool Batcher::Finished() const {
  return closed_ && queue_.empty() && counting_ == 0;
}

Batcher::Tasks Batcher::PopExpired(absl::Time now) {
  Tasks expired;
  Task* first = queue_.first_to_expire();
  while (first != nullptr && IsExpired(first->deadline, now) &&
         expired.size() < kMaxDroppedAtOnce) {
    queue_.Remove(first);
    expired.push_back(first);
    first = queue_.first_to_expire();
  }
  return expired;
}

void Batcher::TryTake(absl::Time now, std::optional<Batch>* batch) {
  const Task* first = queue_.first_to_expire();
  // More tasks have expired than are dropped at once. All of them are dropped
  // before anything is taken.
  if (first != nullptr && IsExpired(first->deadline, now)) return;
  const Timing timing = WhenToTake(View(), now, idle_executors(), options_);
  if (timing.verdict == Timing::Verdict::kTake) batch->emplace(Fill(now));
}

Batch Batcher::Fill(absl::Time now) {
  Batch batch(this);
  batch.taken = now;
  const int64_t queued = queue_.elements();
  while (!queue_.empty()) {
    const HeadView head = ViewOf(*queue_.head());
    const Filling filling = {static_cast<int64_t>(batch.portions.size()),
                             batch.elements};
    const uint64_t blocks = BlocksToTake(
        filling, ElementLimitOf(head, queued, options_), head, options_);
    if (blocks == 0) break;
    const Portion portion = queue_.GiveOut(blocks);
    batch.portions.push_back(portion);
    batch.elements +=
        ElementsIn(head.element_count, portion.first_block, blocks);
  }
  batch.taken_requests_ = static_cast<int64_t>(batch.portions.size());
  batch.taken_elements_ = batch.elements;
  ++batches_in_flight_;
  requests_in_flight_ += batch.taken_requests_;
  elements_in_flight_ += batch.taken_elements_;
  Stamp(batch);
  return batch;
}

void Batcher::Stamp(const Batch& batch) {
  for (const Portion& portion : batch.portions) {
    Task& task = *portion.task;
    if (portion.first_block != 0) continue;
    const bool counts = task.phase == Task::Phase::kCounting;
    if (counts && !HasAllBlocks(portion)) ++counting_;
    if (task.batch_requests != 0) continue;  // stamped when it was counted
    task.started = batch.taken;
    task.batch_requests = batch.taken_requests_;
    task.batch_elements = batch.taken_elements_;
  }
}

int Batcher::ThreadsWanted(absl::Time now) const {
  if (Finished()) return sleeping_ + waking_;
  const int idle = idle_executors();
  const QueueView view = View();
  const Timing timing = WhenToTake(view, now, idle, options_);
  switch (timing.verdict) {
    case Timing::Verdict::kNothing:
      return 0;
    case Timing::Verdict::kWait:
      // One thread watches over the hold; the others sleep on.
      return timing.until < watch_until_ ? 1 : 0;
    case Timing::Verdict::kTake:
      return static_cast<int>(
          std::min<int64_t>(idle, BatchesWaiting(view, options_)));
  }
  return 0;
}

void Batcher::WakeAsNeeded(absl::Time now) {
  if (sleeping_ == 0) return;
  const int wanted = ThreadsWanted(now);
  while (sleeping_ > 0 && waking_ < wanted) {
    --sleeping_;
    ++waking_;
    work_.Signal();
  }
}

void Batcher::Sleep(absl::Time now) {
  const Timing timing = WhenToTake(View(), now, idle_executors(), options_);
  // kTake is impossible here: TryTake() has just refused at the same `now`.
  const bool watches = timing.until < watch_until_;
  if (watches) watch_until_ = timing.until;
  ++sleeping_;
  clock_->Wait(&mu_, &work_, watches ? timing.until : absl::InfiniteFuture());
  if (watches && watch_until_ == timing.until) {
    watch_until_ = absl::InfiniteFuture();
  }
  // A thread that was signalled cannot be told from one that woke by itself,
  // and need not be: each looks at the queue, and the sum of the two is right.
  if (waking_ > 0) {
    --waking_;
  } else {
    --sleeping_;
  }
}

}  // namespace lossd::batching
