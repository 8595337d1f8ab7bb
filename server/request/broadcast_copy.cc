#include "server/request/broadcast_copy.h"

#include <algorithm>
#include <cstring>

namespace lossd::request {
namespace {

// Returns where the row with this number (all dimensions but the last,
// flattened) begins in the source, in elements.
uint64_t RowStart(const Dims& dims, const Dims& strides, uint64_t row) {
  uint64_t start = 0;
  for (size_t k = dims.size() - 1; k-- > 0;) {
    start += row % dims[k] * strides[k];
    row /= dims[k];
  }
  return start;
}

}  // namespace

void CopyBroadcast(const Dims& dims, const Dims& strides, size_t width,
                   const std::byte* source, uint64_t first, uint64_t count,
                   std::byte* out) {
  const uint64_t row_size = dims.empty() ? 1 : dims.back();
  const uint64_t stride = dims.empty() ? 0 : strides.back();
  while (count > 0) {
    const uint64_t column = first % row_size;
    const uint64_t here = std::min(count, row_size - column);
    const uint64_t row =
        dims.empty() ? 0 : RowStart(dims, strides, first / row_size);
    const std::byte* from = source + (row + column * stride) * width;
    if (stride == 0) {
      for (uint64_t i = 0; i < here; ++i) {
        std::memcpy(out + i * width, from, width);
      }
    } else {  // dense: the last dimension's own stride is 1
      std::memcpy(out, from, here * width);
    }
    out += here * width;
    first += here;
    count -= here;
  }
}

}  // namespace lossd::request
