// Elements of BFLOAT16 and FLOAT16, for which C++ has no types, as the bits of
// an integer. `dtype` is one of the two.
#ifndef LOSSD_CLIENT_CPP_TENSOR_HALF_H_
#define LOSSD_CLIENT_CPP_TENSOR_HALF_H_

#include <cstdint>
#include <optional>

#include "element_type/half.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd::client {

inline bool IsHalf(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_BFLOAT16 || dtype == v1::DATA_TYPE_FLOAT16;
}

inline ElementType HalfType(v1::DataType dtype) {
  return dtype == v1::DATA_TYPE_BFLOAT16 ? ElementType::kBFloat16
                                         : ElementType::kFloat16;
}

// Returns the value of `bits`, exactly.
inline double HalfToDouble(v1::DataType dtype, uint16_t bits) {
  return lossd::NarrowToDouble(HalfType(dtype), bits);
}

// Rounds to nearest, ties to even, once. Returns nothing for a finite value
// that rounds beyond the largest element.
inline std::optional<uint16_t> DoubleToHalf(v1::DataType dtype, double value) {
  return lossd::DoubleToNarrow(HalfType(dtype), value);
}

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_HALF_H_
