// Writes out the part of a broadcast operand that one window of a stream reads.
#ifndef LOSSD_SERVER_REQUEST_BROADCAST_COPY_H_
#define LOSSD_SERVER_REQUEST_BROADCAST_COPY_H_

#include <cstddef>
#include <cstdint>

#include "server/request/tensor.h"

namespace lossd::request {

// Elements first .. first + count - 1 of a tensor of `dims` read an operand
// through `strides` (BroadcastStrides()). Copies the operand's elements that
// they read, of `width` bytes each, from `source` to `out`. All lie within the
// tensor.
void CopyBroadcast(const Dims& dims, const Dims& strides, size_t width,
                   const std::byte* source, uint64_t first, uint64_t count,
                   std::byte* out);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_BROADCAST_COPY_H_
