// An operand written out: the part of it that one window of a stream reads.
#ifndef LOSSD_SERVER_REQUEST_BROADCAST_COPY_H_
#define LOSSD_SERVER_REQUEST_BROADCAST_COPY_H_

#include <cstddef>
#include <cstdint>

#include "server/request/tensor.h"

namespace lossd::request {

// Copies to `out` what elements first .. first + count - 1 of a tensor of
// `dims` read through `strides` (BroadcastStrides()) from `source`, whose
// elements take `width` bytes. All are within the tensor.
void CopyBroadcast(const Dims& dims, const Dims& strides, size_t width,
                   const std::byte* source, uint64_t first, uint64_t count,
                   std::byte* out);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_BROADCAST_COPY_H_
