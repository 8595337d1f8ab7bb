// What a block needs before its arithmetic: bytes out of pieces, and options
// turned into plain arrays of the logits' type.
//
// Nothing here touches more than one block, so what is gathered or converted
// stays in the first-level cache until the kernel reads it.
#ifndef LOSSD_KERNELS_CPU_STAGING_H_
#define LOSSD_KERNELS_CPU_STAGING_H_

#include <cstdint>

#include "kernels/cpu/cursors.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// A block's inputs as arrays of the logits' type.
//
// `targets` holds for every element a finite target as sent (before smoothing),
// or kIgnored for one that takes no part, or a NaN for one that is NaN or out
// of range. Weights of an ignored element are 0.
template <class T>
struct StagedBlock {
  static constexpr T kIgnored = -std::numeric_limits<T>::infinity();
  alignas(64) T logits[kBlockElements];
  alignas(64) T targets[kBlockElements];
  alignas(64) T weights[kBlockElements];
  alignas(64) T pos_weights[kBlockElements];
  alignas(64) T upstream[kBlockElements];
};

// Walks the blocks of a segment, from any first block on.
template <class T>
class Stager {
 public:
  explicit Stager(const Segment& segment);

  // Fills targets and weights of block `block`, counts them into `partial`
  // (valid, weights, first bad target) and, with `all`, also fills in
  // pos_weights and upstream.
  void Stage(uint64_t block, bool all, StagedBlock<T>& staged,
             BlockPartial& partial);

 private:
  void StageTargets(uint64_t first, uint64_t n, T* to);
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
