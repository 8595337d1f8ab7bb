// Samples the blocks of a segment that the host can read, after they were
// computed and while they are in a cache.
#ifndef LOSSD_KERNELS_CPU_SAMPLER_H_
#define LOSSD_KERNELS_CPU_SAMPLER_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cpu/cursors.h"
#include "kernels/cpu/staging.h"
#include "kernels/sample.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// Reads runs of elements from a tensor's pieces. Beside PieceCursor, which
// gathers blocks, it costs little for a few bytes. Not thread-safe.
class RunReader {
 public:
  explicit RunReader(const Tensor& tensor);

  // Returns the `n` elements from element `first` on, at most kRunElements, in
  // place or, if they lie in several pieces, in memory of this object. They
  // have no alignment.
  const std::byte* At(uint64_t first, uint64_t n) {
    const uint64_t offset = first * bits_ / 8;
    const uint64_t within = offset - start_;
    if (within < piece_.size() &&
        piece_.size() - within >= (n * bits_ + 7) / 8) {
      return piece_.data() + within;
    }
    return Find(offset, (n * bits_ + 7) / 8);
  }

 private:
  const std::byte* Find(uint64_t offset, uint64_t size);

  const std::span<const Piece> pieces_;
  const uint64_t bits_;  // of an element
  PieceCursor cursor_;
  size_t number_ = 0;  // of piece_
  uint64_t start_ = 0;
  Piece piece_;
  alignas(64) std::byte scratch_[kRunElements * sizeof(double)];
};

// Samples blocks, best in rising order. Targets and logits count as float32;
// those of ignored elements do not count. A target that is NaN or out of range,
// for which a request is refused, may count as a positive or not. Not
// thread-safe.
class Sampler {
 public:
  // Borrows the segment, of which nothing lies on a device. `blocks_before` of
  // the request's blocks lie before its first one.
  explicit Sampler(const Segment& segment, uint64_t blocks_before = 0);

  // Returns the sample of `count` computed blocks from `first_block` on. Only
  // the last digits of gradient_squares depend on how many blocks a call has.
  Sample SampleBlocks(uint64_t first_block, uint64_t count);

 private:
  // Adds the elements of a run, which begins with element `first`; `n` is at
  // most kRunElements.
  void AddRun(uint64_t first, uint64_t n, Sample& sample);
  // As AddRun(), where elements may be ignored, or targets are not a tensor.
  void AddStagedRun(const std::byte* logits, uint64_t first, uint64_t n,
                    Sample& sample);
  double SquaresOfRun(uint64_t first, uint64_t n, uint64_t& bad) const;

  const Segment& segment_;
  const uint64_t blocks_before_;
  const bool is_plain_;  // AddRun() does not need AddStagedRun()
  RunReader logits_;
  RunReader targets_;
  Stager<float> stager_;
};

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_SAMPLER_H_
