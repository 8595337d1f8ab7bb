// bfloat16, float16 and float8, and the conversion of stored elements of every
// type: the one implementation in C++, for host code. See half-inl.h.
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

// Returns true for the floating-point types that C++ lacks.
constexpr bool IsNarrow(ElementType type) {
  return IsFloat8(type) || type == ElementType::kBFloat16 ||
         type == ElementType::kFloat16;
}

// The functions below take the bits of an element whose type is known only at
// run time. IsNarrow() is true for `type`; a float8 has its 8 bits.

// Returns the value of `bits`, exactly. A NaN keeps its sign.
inline double NarrowToDouble(ElementType type, uint16_t bits) {
  switch (type) {
    case ElementType::kBFloat16:
      return Loaded<double>(BFloat16{bits});
    case ElementType::kFloat16:
      return Loaded<double>(Float16{bits});
    case ElementType::kFloat8E4M3Fn:
      return Loaded<double>(Float8E4M3Fn{static_cast<uint8_t>(bits)});
    default:
      return Loaded<double>(Float8E5M2{static_cast<uint8_t>(bits)});
  }
}

// Returns the bits of the element nearest to `value`, ties to even, rounded
// once; nothing for a finite value that rounds beyond the largest element, and
// for infinity where the type has none. A NaN keeps its sign.
inline std::optional<uint16_t> DoubleToNarrow(ElementType type, double value) {
  const float rounded = OddFloatOf(std::fabs(value));
  const auto checked = [&](unsigned bits, bool too_large,
                           unsigned sign) -> std::optional<uint16_t> {
    if (too_large) return std::nullopt;
    return static_cast<uint16_t>(bits | (std::signbit(value) ? sign : 0));
  };
  const bool finite = std::isfinite(value);
  switch (type) {
    case ElementType::kBFloat16: {
      const uint16_t bits = BFloat16Of(rounded).bits;
      return checked(bits, finite && bits == 0x7f80, 0x8000);
    }
    case ElementType::kFloat16: {
      const uint16_t bits = Float16Of(rounded).bits;
      return checked(bits, finite && bits == 0x7c00, 0x8000);
    }
    case ElementType::kFloat8E4M3Fn: {
      const uint8_t bits = Float8E4M3FnOf(rounded).bits;
      return checked(bits, !std::isnan(value) && bits == 0x7f, 0x80);
    }
    default: {
      const uint8_t bits = Float8E5M2Of(rounded).bits;
      return checked(bits, finite && bits == 0x7c, 0x80);
    }
  }
}

}  // namespace lossd

#endif  // LOSSD_ELEMENT_TYPE_HALF_H_
