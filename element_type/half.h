// bfloat16 and float16, and the conversion of stored elements of every type:
// the one implementation in C++, for host code. See half-inl.h.
#ifndef LOSSD_ELEMENT_TYPE_HALF_H_
#define LOSSD_ELEMENT_TYPE_HALF_H_

#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>

#include "element_type/element_type.h"

namespace lossd {

// clang-format off
#define LOSSD_ELEMENT_FN inline
#include "element_type/half-inl.h"
#undef LOSSD_ELEMENT_FN
// clang-format on

// The functions below take the bits of an element whose half type is known only
// at run time: `type` is kBFloat16 or kFloat16.

// Returns the value of `bits`, exactly. A NaN keeps its sign.
inline double HalfToDouble(ElementType type, uint16_t bits) {
  return type == ElementType::kBFloat16 ? Loaded<double>(BFloat16{bits})
                                        : Loaded<double>(Float16{bits});
}

// Returns the bits of the element nearest to `value`, ties to even, rounded
// once; nothing for a finite value that rounds beyond the largest element. A
// NaN keeps its sign.
inline std::optional<uint16_t> DoubleToHalf(ElementType type, double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const float rounded = OddFloatOf(std::fabs(value));
  const bool wide = type == ElementType::kBFloat16;
  const uint16_t bits =
      wide ? BFloat16Of(rounded).bits : Float16Of(rounded).bits;
  const uint16_t infinity = wide ? 0x7f80 : 0x7c00;
  if (bits == infinity && std::isfinite(value)) return std::nullopt;
  return static_cast<uint16_t>(bits | sign);
}

}  // namespace lossd

#endif  // LOSSD_ELEMENT_TYPE_HALF_H_
