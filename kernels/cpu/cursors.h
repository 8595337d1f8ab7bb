// Where a call that walks blocks is in what a segment lends it.
#ifndef LOSSD_KERNELS_CPU_CURSORS_H_
#define LOSSD_KERNELS_CPU_CURSORS_H_

#include <cstddef>
#include <cstdint>
#include <span>

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

// Walks Segment::ones as blocks rise, so that only the first block's ones are
// searched for.
class OnesCursor {  // D14
 public:
  explicit OnesCursor(const Ones& ones) : ones_(ones) {}

  // Sets to[i] to `one` where element first + i is a one, i < n.
  template <class T>
  void Mark(uint64_t first, uint64_t n, T one, T* to);

 private:
  const Ones ones_;
  uint64_t end_ = kNoIndex;  // of the block that was marked last
  size_t next_ = 0;          // the first listed one that is not before end_
};

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_CURSORS_H_
