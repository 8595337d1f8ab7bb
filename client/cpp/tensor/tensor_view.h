// Tensors that a request borrows.
#ifndef LOSSD_CLIENT_CPP_TENSOR_TENSOR_VIEW_H_
#define LOSSD_CLIENT_CPP_TENSOR_TENSOR_VIEW_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <variant>

#include "absl/container/inlined_vector.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd::client {

using Shape = absl::InlinedVector<int64_t, 4>;

// The wire's type for a C++ element type.
template <typename T>
inline constexpr v1::DataType kDataTypeOf = v1::DATA_TYPE_UNSPECIFIED;
template <>
inline constexpr v1::DataType kDataTypeOf<float> = v1::DATA_TYPE_FLOAT32;
template <>
inline constexpr v1::DataType kDataTypeOf<double> = v1::DATA_TYPE_FLOAT64;
template <>
inline constexpr v1::DataType kDataTypeOf<uint8_t> = v1::DATA_TYPE_UINT8;
template <>
inline constexpr v1::DataType kDataTypeOf<bool> = v1::DATA_TYPE_BOOL;
template <>
inline constexpr v1::DataType kDataTypeOf<int32_t> = v1::DATA_TYPE_INT32;
template <>
inline constexpr v1::DataType kDataTypeOf<int64_t> = v1::DATA_TYPE_INT64;

class SharedRegion;

// A dense row-major tensor in memory of the caller, which it borrows.
//
// The bytes are little-endian, as many as dtype and shape ask for; the server
// checks that. Half and packed types have no C++ element type, so that their
// views are made by filling the members.
struct TensorView {
  v1::DataType dtype = v1::DATA_TYPE_FLOAT32;
  Shape shape = {};
  std::span<const std::byte> bytes = {};
  // If not null, the bytes lie in this region (shared_memory.h) and are named
  // instead of sent.
  const SharedRegion* region = nullptr;

  // Returns a tensor of one dimension.
  template <typename T>
  static TensorView Of(std::span<const T> elements) {
    return Of(elements, {static_cast<int64_t>(elements.size())});
  }

  template <typename T>
  static TensorView Of(std::span<const T> elements, Shape shape) {
    static_assert(kDataTypeOf<T> != v1::DATA_TYPE_UNSPECIFIED,
                  "no wire type has such elements");
    return {kDataTypeOf<T>, std::move(shape), std::as_bytes(elements)};
  }
};

// Targets that are 1 at these places and 0 at all others. The ones of row r, of
// the first dimension, are at columns[row_splits[r]] to
// columns[row_splits[r + 1] - 1], which rise. The spans are borrowed. An empty
// shape is the logits'.
struct OnesView {
  std::span<const int64_t> row_splits = {};
  std::span<const int64_t> columns = {};
  Shape shape = {};
};

// Targets of a matrix of logits that are 1 at (i, i + diagonal), 0 elsewhere.
struct IdentityTargets {
  int64_t diagonal = 0;
};

using Targets = std::variant<TensorView, OnesView, IdentityTargets>;

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_TENSOR_VIEW_H_
