// A sample of a segment's elements: enough of them to see how a training run
// goes, and few enough to cost almost nothing beside the loss.
#ifndef LOSSD_KERNELS_SAMPLE_H_
#define LOSSD_KERNELS_SAMPLE_H_

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels {

// A logit beyond this is saturated: its sigmoid is within 3.1e-7 of 0 or 1, and
// so is the derivative of the cross-entropy, unless the target says otherwise.
inline constexpr float kSaturatedLogit = 15;
// A target of at least this, as it was sent, makes its element a positive.
inline constexpr float kPositiveTarget = 0.5F;

// The counts of a sample of valid elements. Samples are added up field by
// field.
struct Sample {
  uint64_t elements = 0;
  uint64_t positives = 0;
  uint64_t saturated = 0;  // |logit| > kSaturatedLogit
  // An estimate of the sum of the squares of the gradient, of all elements: the
  // squares of each block's sample, times the block's elements by the sampled
  // ones. 0 without a gradient.
  double gradient_squares = 0;
  // Elements whose gradient's square is not finite; they are left out above.
  uint64_t bad_gradients = 0;

  void Add(const Sample& other) {
    elements += other.elements;
    positives += other.positives;
    saturated += other.saturated;
    gradient_squares += other.gradient_squares;
    bad_gradients += other.bad_gradients;
  }
};

// The elements of a run lie in one or two cache lines.
inline constexpr uint64_t kRunElements = 16;
// A whole block has one run; it costs about a hundredth of the block (D93). The
// last block of a request is cut into parts of which each has one: what a small
// request costs is not its arithmetic, and a run would be a small sample.
inline constexpr uint64_t kRunsOfLastBlock = 4;

// The elements begin to end of a block, counted from its first one.
struct SampledRun {
  uint64_t begin;
  uint64_t end;
};

// The runs of a block. They depend on the block's number and size alone, so a
// sample does not depend on who computed the block, and in which batch. Their
// places are spread evenly over the blocks: if rows are a power of two long, as
// numbers of classes often are, all classes are sampled. A last block of at
// most kRunsOfLastBlock * kRunElements elements is sampled whole.
class SampledRuns {
 public:
  // `block` counts from the beginning of the request's tensor. `n` is the
  // number of elements of the block, at least 1.
  SampledRuns(uint64_t block, uint64_t n) {
    const uint64_t parts = n == kBlockElements ? 1 : kRunsOfLastBlock;
    const uint64_t share = (n + parts - 1) / parts;
    const uint64_t part =
        (share + kRunElements - 1) / kRunElements * kRunElements;
    for (uint64_t k = 0; k < parts && k * part < n; ++k) {
      const uint64_t first = k * part;
      const uint64_t places =
          (std::min(part, n - first) + kRunElements - 1) / kRunElements;
      const uint64_t begin = first + PlaceOf(block, k, places) * kRunElements;
      const uint64_t end = std::min(begin + kRunElements, n);
      runs_[count_++] = {begin, end};
      elements_ += end - begin;
    }
  }

  const SampledRun* begin() const { return runs_.data(); }
  const SampledRun* end() const { return runs_.data() + count_; }
  // The elements of all runs together.
  uint64_t elements() const { return elements_; }

 private:
  // Multiples of the golden ratio lie evenly between whole numbers (Knuth, The
  // Art of Computer Programming, 6.4), and so do every second, third, ... one.
  static uint64_t PlaceOf(uint64_t block, uint64_t part, uint64_t places) {
    const auto number = static_cast<uint32_t>(block * kRunsOfLastBlock + part);
    const uint32_t fraction = number * 0x9E3779B9U;
    return (uint64_t{fraction} * places) >> 32;
  }

  std::array<SampledRun, kRunsOfLastBlock> runs_;
  uint64_t count_ = 0;
  uint64_t elements_ = 0;
};

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_SAMPLE_H_
