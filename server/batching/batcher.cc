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

// The batcher whose RunInline() computes a batch on this thread: it looks at
// the queue itself when the batch is back, so nobody needs to be woken for
// that.
thread_local const Batcher* inline_batcher = nullptr;

bool IsWhole(const Portion& portion) {
  return portion.block_count == kernels::BlockCount(portion.task->segment);
}

// To the device that has tensors of it.
bool IsBound(const Task& task) { return task.segment.device != kernels::kHost; }

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
      requests_out_(other.requests_out_),
      elements_out_(other.elements_out_) {}

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
  assert(queue_.empty() && out_ == 0 && sleeping_ + waking_ == 0);
}

void Batcher::Enqueue(Task* task, bool may_run_inline) {
  Prepare(*task);
  const absl::Time now = clock_->Now();
  {
    absl::MutexLock lock(&mu_);
    if (!closed_) {
      task->enqueued = now;
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
  for (int batches = 0;;) {
    Tasks expired;
    std::optional<Batch> batch;
    {
      absl::MutexLock lock(&mu_);
      const absl::Time now = clock_->Now();
      expired = PopExpired(now);
      const bool small = queue_.elements() <= room;
      if (small && batches < kMaxInlineBatches) TryTake(now, &batch);
      if (!batch) WakeAsNeeded(now);
    }
    DropExpired(expired);
    if (batch) {
      ++batches;
      room -= batch->elements;
      const Batcher* outer = std::exchange(inline_batcher, this);
      runner.Run(*std::move(batch));
      inline_batcher = outer;
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
        WakeAsNeeded(now);  // for what is left, or to go home
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
  return out_;
}

absl::Duration Batcher::ExpectedWait(uint64_t flow) const {
  absl::MutexLock lock(&mu_);
  if (queue_.empty() && out_ < options_.executors) return absl::ZeroDuration();
  const Work ahead = queue_.Ahead(flow);
  return cost_.Estimate(ahead.requests + requests_out_,
                        ahead.elements + elements_out_) /
         options_.executors;
}

absl::Duration Batcher::RetryAfter(uint64_t flow) const {
  return std::clamp(ExpectedWait(flow), absl::Milliseconds(10),
                    absl::Seconds(10));
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
  --out_;
  requests_out_ -= batch.requests_out_;
  elements_out_ -= batch.elements_out_;
  cost_.Learn(batch.requests_out_, batch.elements_out_, now - batch.taken);
  if (inline_batcher != this) WakeAsNeeded(now);
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

// A task that is being counted comes back: until then no thread may go home.
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
  // More than one go of expired ones: they are dropped before anything is
  // taken.
  if (first != nullptr && IsExpired(first->deadline, now)) return;
  const Timing timing =
      WhenToTake(View(), now, options_.executors - out_, options_);
  if (timing.verdict == Timing::Verdict::kTake) batch->emplace(Fill(now));
}

Batch Batcher::Fill(absl::Time now) {
  Batch batch(this);
  batch.taken = now;
  const int64_t limit = ElementLimit(queue_.elements(), options_);
  while (!queue_.empty()) {
    const Task* task = queue_.head();
    const Filling filling = {static_cast<int64_t>(batch.portions.size()),
                             batch.elements};
    const uint64_t element_count = task->segment.element_count;
    const uint64_t blocks = BlocksToTake(
        filling, limit, {element_count, task->next_block, IsBound(*task)},
        options_);
    if (blocks == 0) break;
    const Portion portion = queue_.GiveOut(blocks);
    batch.portions.push_back(portion);
    batch.elements += ElementsIn(element_count, portion.first_block, blocks);
  }
  batch.requests_out_ = static_cast<int64_t>(batch.portions.size());
  batch.elements_out_ = batch.elements;
  ++out_;
  requests_out_ += batch.requests_out_;
  elements_out_ += batch.elements_out_;
  Stamp(batch);
  return batch;
}

// Notes with each task which batch was given its first block.
void Batcher::Stamp(const Batch& batch) {
  for (const Portion& portion : batch.portions) {
    Task& task = *portion.task;
    if (portion.first_block != 0) continue;
    if (task.phase == Task::Phase::kCounting && !IsWhole(portion)) ++counting_;
    if (task.batch_requests != 0)
      continue;  // it was stamped when it was counted
    task.started = batch.taken;
    task.batch_requests = batch.requests_out_;
    task.batch_elements = batch.elements_out_;
  }
}

int Batcher::ThreadsWanted(absl::Time now) const {
  if (Finished()) return sleeping_ + waking_;
  const int idle = options_.executors - out_;
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
  const Timing timing =
      WhenToTake(View(), now, options_.executors - out_, options_);
  // kTake is impossible here: TryTake() has just refused at the same `now`.
  const bool watches = timing.until < watch_until_;
  if (watches) watch_until_ = timing.until;
  ++sleeping_;
  clock_->Wait(&mu_, &work_, watches ? timing.until : absl::InfiniteFuture());
  if (watches && watch_until_ == timing.until) {
    watch_until_ = absl::InfiniteFuture();
  }
  // Who was signalled and who woke by itself cannot be told apart, and need not
  // be: each that wakes looks at the queue, and the sum is right.
  if (waking_ > 0) {
    --waking_;
  } else {
    --sleeping_;
  }
}

}  // namespace lossd::batching
