// A task that records its outcome.
#ifndef LOSSD_TESTS_SERVER_BATCHING_RECORDING_TASK_H_
#define LOSSD_TESTS_SERVER_BATCHING_RECORDING_TASK_H_

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "kernels/sigmoid_loss.h"
#include "server/batching/task.h"

namespace lossd::batching {

// Has a number of elements and no data. A second outcome crashes
// (Notification), so every test also checks that there is at most one.
class RecordingTask : public Task {
 public:
  explicit RecordingTask(uint64_t elements,
                         absl::Time until = absl::InfiniteFuture()) {
    segment.shape.rank = 1;
    segment.shape.dims[0] = elements;
    segment.element_count = elements;
    deadline = until;
  }

  void OnComputed(const Computed& computed) override {
    answer = computed;
    was_computed = true;
    finished.Notify();
  }
  void OnDropped(const absl::Status& why) override {
    dropped = why;
    finished.Notify();
  }

  // Makes the gradient's scale depend on counts: the task has two phases.
  void NeedCounts() {
    segment.options.normalizer = kernels::Normalizer::kValid;
    segment.gradient = &gradient_byte_;
  }

  // Makes rows of the elements, whose number is a multiple of `length`.
  void GiveRows(uint64_t length, kernels::Reduction reduction) {
    segment.shape = {.rank = 2,
                     .dims = {segment.element_count / length, length}};
    segment.row_elements = length;
    segment.options.reduction = reduction;
  }

  bool was_dropped() const {
    return finished.HasBeenNotified() && !was_computed;
  }

  absl::Notification finished;
  // Valid once finished.
  bool was_computed = false;
  Computed answer;
  absl::Status dropped;

 private:
  std::byte gradient_byte_{};
};

}  // namespace lossd::batching

#endif  // LOSSD_TESTS_SERVER_BATCHING_RECORDING_TASK_H_
