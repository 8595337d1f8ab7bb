// What a block needs before its arithmetic: bytes out of pieces, and options
// turned into plain arrays of the logits' type.
//
// Nothing here touches more than one block, so what is gathered or converted
// stays in the first-level cache until the kernel reads it.
#ifndef LOSSD_KERNELS_CPU_STAGING_H_
#define LOSSD_KERNELS_CPU_STAGING_H_

#include <cstddef>
#include <cstdint>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// Reads bytes of a tensor's pieces at rising offsets. Not thread-safe; one for
// each call that walks blocks, so that finding the next block's piece costs
// nothing.
class PieceCursor {
 public:
  explicit PieceCursor(const Tensor& tensor) : pieces_(tensor.pieces) {}

  // `size` bytes at `offset`: where they lie if one piece has them all, else
  // gathered into `scratch`. Not aligned.
  const std::byte* Fetch(uint64_t offset, size_t size, std::byte* scratch);

 private:
  std::span<const Piece> pieces_;
  size_t piece_ = 0;
  uint64_t piece_start_ = 0;
};

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

// Walks Segment::ones as blocks rise, so that only the first block's ones are
// searched for.
class OnesCursor {
 public:
  explicit OnesCursor(const Ones& ones) : ones_(ones) {}

  // Sets to[i] to `one` where element first + i is a one, i < n.
  template <class T>
  void Mark(uint64_t first, uint64_t n, T one, T* to);

 private:
  const Ones& ones_;
  uint64_t end_ = kNoIndex;  // of the block that was marked last
  size_t next_ = 0;          // the first listed one that is not before end_
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
