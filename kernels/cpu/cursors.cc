#include "kernels/cpu/cursors.h"

#include <algorithm>
#include <cstring>

namespace lossd::kernels::cpu {

const std::byte* PieceCursor::Fetch(uint64_t offset, size_t size,
                                    std::byte* scratch) {
  if (offset < piece_start_) {
    piece_ = 0;
    piece_start_ = 0;
  }
  while (piece_ < pieces_.size() &&
         offset >= piece_start_ + pieces_[piece_].size()) {
    piece_start_ += pieces_[piece_].size();
    ++piece_;
  }
  if (piece_ == pieces_.size()) return scratch;  // only where size is 0
  uint64_t within = offset - piece_start_;
  if (within + size <= pieces_[piece_].size())
    return pieces_[piece_].data() + within;
  std::byte* to = scratch;
  for (size_t p = piece_; size > 0; ++p, within = 0) {
    const size_t here = std::min<size_t>(size, pieces_[p].size() - within);
    if (here > 0) std::memcpy(to, pieces_[p].data() + within, here);
    to += here;
    size -= here;
  }
  return scratch;
}

template <class T>
void OnesCursor::Mark(uint64_t first, uint64_t n, T one, T* to) {
  const uint64_t end = first + n;
  const std::span<const uint64_t> list = ones_.indices;
  if (!list.empty()) {
    if (first != end_) {
      next_ = static_cast<size_t>(
          std::lower_bound(list.begin(), list.end(), first) - list.begin());
    }
    end_ = end;
    for (; next_ < list.size() && list[next_] < end; ++next_) {
      to[list[next_] - first] = one;
    }
    return;
  }
  uint64_t k = 0;
  if (first > ones_.first) {
    k = (first - ones_.first + ones_.stride - 1) / ones_.stride;
  }
  for (; k < ones_.count; ++k) {
    const uint64_t index = ones_.first + k * ones_.stride;
    if (index >= end) return;
    to[index - first] = one;
  }
}

template void OnesCursor::Mark(uint64_t, uint64_t, float, float*);
template void OnesCursor::Mark(uint64_t, uint64_t, double, double*);

}  // namespace lossd::kernels::cpu
