// Elements of FLOAT8_E4M3FN and FLOAT8_E5M2, for which C++ has no types, as the
// bits of an integer. `dtype` is one of the two.
#ifndef LOSSD_CLIENT_CPP_TENSOR_FLOAT8_H_
#define LOSSD_CLIENT_CPP_TENSOR_FLOAT8_H_

#include <cstdint>
#include <optional>

#include "element_type/half.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd::client {

inline bool IsFloat8(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_FLOAT8_E4M3FN ||
         dtype == v1::DATA_TYPE_FLOAT8_E5M2;
}

inline ElementType Float8Type(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_FLOAT8_E4M3FN ? ElementType::kFloat8E4M3Fn
                                              : ElementType::kFloat8E5M2;
}

// Returns the value of `bits`, exactly.
inline double Float8ToDouble(v1::DataType dtype, uint8_t bits) {
  return lossd::NarrowToDouble(Float8Type(dtype), bits);
}

// Rounds to nearest, ties to even, once. Returns nothing for a finite value
// that rounds beyond the largest element, and for infinity in FLOAT8_E4M3FN,
// which has none.
inline std::optional<uint8_t> DoubleToFloat8(v1::DataType dtype, double value) {
  const std::optional<uint16_t> bits =
      lossd::DoubleToNarrow(Float8Type(dtype), value);
  if (!bits.has_value()) return std::nullopt;
  return static_cast<uint8_t>(*bits);
}

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_FLOAT8_H_
