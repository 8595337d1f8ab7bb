// Prepares a block for the exact loop: gathers its elements from pieces and
// turns targets, weights and options into plain arrays of the logits' type.
//
// All work is on one block at a time, so the arrays stay in the first-level
// cache until the kernel reads them.
#ifndef LOSSD_KERNELS_CPU_STAGING_H_
#define LOSSD_KERNELS_CPU_STAGING_H_

#include <cstdint>

#include "kernels/cpu/cursors.h"
#include "kernels/rows.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// A block's inputs as arrays of the logits' type.
//
// `targets` holds for every element its finite target as sent (before
// smoothing), kIgnored if the element is ignored, or a NaN if the target is NaN
// or out of range. The weight of an ignored element is 0.
template <class T>
struct StagedBlock {
  static constexpr T kIgnored = -std::numeric_limits<T>::infinity();
  alignas(64) T logits[kBlockElements];
  alignas(64) T targets[kBlockElements];
  alignas(64) T weights[kBlockElements];
  alignas(64) T pos_weights[kBlockElements];
  alignas(64) T upstream[kBlockElements];
};

// Stages the blocks of a segment, best in rising order. Not thread-safe.
template <class T>
class Stager {
 public:
  explicit Stager(const Segment& segment);

  // Fills in targets and weights of block `block`, in `partial` its counts, its
  // weight sum and its first bad target, and those of Segment::row_counts that
  // are the block's. With `all` it also fills in
  // pos_weights, upstream and the first fault of an operand.
  void Stage(uint64_t block, bool all, StagedBlock<T>& staged,
             BlockPartial& partial);

  // Writes the `n` targets from element `first` on, a multiple of 8, to `to`,
  // as StagedBlock holds them; n <= kBlockElements.
  void StageTargets(uint64_t first, uint64_t n, T* to);

 private:
  void CountRows(uint64_t block, const StagedBlock<T>& staged) const;
  uint64_t FirstFault(uint64_t first, uint64_t n,
                      const StagedBlock<T>& staged) const;
  void StageOperand(const Operand& operand, PieceCursor& cursor, double absent,
                    uint64_t first, uint64_t n, T* to);
  const Segment& segment_;
  PieceCursor targets_, weights_, pos_weights_, upstream_;
  OnesCursor ones_;
};

extern template class Stager<float>;
extern template class Stager<double>;

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_STAGING_H_
