// The elements of a batch item, and their bytes in a tensor.
#ifndef LOSSD_KERNELS_CUDA_ITEM_RANGE_H_
#define LOSSD_KERNELS_CUDA_ITEM_RANGE_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/cuda/batch_layout.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cuda {

// Returns the index of the item's first element in its segment, and the one
// after its last.
uint64_t FirstElement(const BatchItem& item);
uint64_t EndElement(const BatchItem& item);

// Some bytes of a tensor.
struct ByteRange {
  uint64_t first = 0;
  uint64_t count = 0;
};

// Returns the bytes of the item's elements, of a tensor of this type with an
// element for each logit.
ByteRange BytesOf(const BatchItem& item, ElementType type);

// Returns the ones among the item's elements, of targets that are listed ones.
std::span<const uint64_t> OnesOf(const BatchItem& item);

// Copies these bytes of a tensor in host memory to `to`.
void CopyBytes(const Tensor& tensor, ByteRange range, std::byte* to);

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_ITEM_RANGE_H_
