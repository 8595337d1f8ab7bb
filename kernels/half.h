// bfloat16 and float16, and how elements of every type are stored. For the
// host; see half-inl.h.
#ifndef LOSSD_KERNELS_HALF_H_
#define LOSSD_KERNELS_HALF_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels {

// clang-format off
#define LOSSD_ELEMENT_FN inline
#include "kernels/half-inl.h"
#undef LOSSD_ELEMENT_FN
// clang-format on

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_HALF_H_
