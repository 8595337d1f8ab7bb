// A recording task with logits, targets and a gradient of float32.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_DATA_TASK_H_
#define LOSSD_TESTS_SERVER_EXECUTION_DATA_TASK_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "kernels/sigmoid_loss.h"
#include "tests/server/batching/recording_task.h"

namespace lossd::execution {

class DataTask : public batching::RecordingTask {
 public:
  DataTask(uint64_t elements, unsigned seed)
      : RecordingTask(elements), logits_(elements), targets_(elements) {
    std::mt19937 random(seed);
    std::normal_distribution<float> logit(0, 4);
    for (float& x : logits_) x = logit(random);
    for (float& t : targets_) t = static_cast<float>(random() % 2);
    logits_piece_ = {std::as_bytes(std::span(logits_))};
    targets_piece_ = {std::as_bytes(std::span(targets_))};
    segment.logits.pieces = logits_piece_;
    segment.targets.pieces = targets_piece_;
    gradient_.resize(elements + kAlignment);
    segment.gradient = Aligned();
  }

  std::span<float> logits() { return logits_; }
  std::span<float> targets() { return targets_; }
  // The bits of the gradient.
  std::vector<uint32_t> gradient_bits() {
    std::vector<uint32_t> bits;
    for (float g : gradient()) bits.push_back(std::bit_cast<uint32_t>(g));
    return bits;
  }
  std::span<float> gradient() {
    return {reinterpret_cast<float*>(segment.gradient), segment.element_count};
  }

 private:
  static constexpr size_t kAlignment = 64 / sizeof(float);
  std::byte* Aligned() {
    void* data = gradient_.data();
    size_t space = gradient_.size() * sizeof(float);
    return static_cast<std::byte*>(std::align(64, 1, data, space));
  }

  std::vector<float> logits_;
  std::vector<float> targets_;
  std::array<kernels::Piece, 1> logits_piece_;
  std::array<kernels::Piece, 1> targets_piece_;
  std::vector<float> gradient_;
};

}  // namespace lossd::execution

#endif  // LOSSD_TESTS_SERVER_EXECUTION_DATA_TASK_H_
