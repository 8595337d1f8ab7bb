#ifndef LOSSD_CLIENT_CPP_HALF_H_
#define LOSSD_CLIENT_CPP_HALF_H_

#include <cstdint>
#include <optional>

#include "lossd/v1/tensor.pb.h"

namespace lossd::client {

// Elements of BFLOAT16 and FLOAT16, which C++ has no types for, as the bits of
// an integer. `dtype` is one of the two.

bool IsHalf(v1::DataType dtype);

// Exact.
double HalfToDouble(v1::DataType dtype, uint16_t bits);

// To nearest, ties to even, rounded once. Nothing for a finite value beyond the
// largest.
std::optional<uint16_t> DoubleToHalf(v1::DataType dtype, double value);

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_HALF_H_
