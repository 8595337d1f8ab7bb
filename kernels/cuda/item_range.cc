#include "kernels/cuda/item_range.h"

#include <algorithm>
#include <cstring>

namespace lossd::kernels::cuda {

uint64_t FirstElement(const BatchItem& item) {
  return item.blocks.first * kBlockElements;
}

uint64_t EndElement(const BatchItem& item) {
  return std::min(FirstElement(item) + item.blocks.count * kBlockElements,
                  item.segment->element_count);
}

ByteRange BytesOf(const BatchItem& item, ElementType type) {
  const uint64_t first = ByteSize(type, FirstElement(item));
  return {first, ByteSize(type, EndElement(item)) - first};
}

std::span<const uint64_t> OnesOf(const BatchItem& item) {
  const auto& all = item.segment->ones.indices;
  const auto first =
      std::lower_bound(all.begin(), all.end(), FirstElement(item));
  return {first, std::lower_bound(first, all.end(), EndElement(item))};
}

void CopyBytes(const Tensor& tensor, ByteRange range, std::byte* to) {
  for (Piece piece : tensor.pieces) {
    const uint64_t skipped = std::min<uint64_t>(range.first, piece.size());
    range.first -= skipped;
    piece = piece.subspan(skipped);
    piece = piece.first(std::min<uint64_t>(range.count, piece.size()));
    if (piece.empty()) continue;
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
    range.count -= piece.size();
  }
}

}  // namespace lossd::kernels::cuda
