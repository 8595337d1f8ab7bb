// Cursors over a segment's tensors for a call that walks its blocks. They are
// not thread-safe: each call has its own.
#ifndef LOSSD_KERNELS_CPU_CURSORS_H_
#define LOSSD_KERNELS_CPU_CURSORS_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cpu {

// Reads bytes of a tensor's pieces. It remembers the last piece, so that
// reading at rising offsets finds the next piece at once.
class PieceCursor {
 public:
  explicit PieceCursor(const Tensor& tensor) : pieces_(tensor.pieces) {}

  // Returns the `size` bytes at `offset`: in place if one piece holds them all,
  // else copied to `scratch`. They have no alignment.
  const std::byte* Fetch(uint64_t offset, size_t size, std::byte* scratch);

 private:
  std::span<const Piece> pieces_;
  size_t piece_ = 0;
  uint64_t piece_start_ = 0;
};

// Walks Segment::ones. Only the first block's ones are searched for, as long as
// blocks follow one another.
class OnesCursor {  // D14
 public:
  explicit OnesCursor(const Ones& ones) : ones_(ones) {}

  // Sets to[i] to `one` where element first + i is a one, i < n.
  template <class T>
  void Mark(uint64_t first, uint64_t n, T one, T* to);

 private:
  const Ones ones_;
  uint64_t end_ = kNoIndex;  // the end of the block that was marked last
  size_t next_ = 0;          // the first listed one that is not before end_
};

}  // namespace lossd::kernels::cpu

#endif  // LOSSD_KERNELS_CPU_CURSORS_H_
