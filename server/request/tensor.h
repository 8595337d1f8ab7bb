// Reads one tensor of a request: where its elements lie, their type and shape.
#ifndef LOSSD_SERVER_REQUEST_TENSOR_H_
#define LOSSD_SERVER_REQUEST_TENSOR_H_

#include <google/protobuf/repeated_field.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/tensor.pb.h"
#include "server/request/shared_tensors.h"
#include "server/wire/field.h"

namespace lossd::request {

using Dims = absl::InlinedVector<uint64_t, kernels::kMaxRank>;

// Dimensions, and the number of elements that they multiply to.
struct CountedShape {
  Dims dims;
  uint64_t count = 0;
};

// A tensor of a request that is right in itself: its dtype is known, its
// dimensions multiply without overflow, and it has as many bytes as they ask
// for. The memory behind `tensor` is borrowed from the parsed request, from
// shared memory, or from `converted`, hence it cannot be moved.
struct CheckedTensor {
  CheckedTensor() = default;
  CheckedTensor(const CheckedTensor&) = delete;
  CheckedTensor& operator=(const CheckedTensor&) = delete;

  bool present = false;
  bool as_values = false;  // sent as `values`, not as bytes
  bool as_ones = false;    // targets sent as `ones` or `identity`
  bool has_shape = false;  // only for `as_ones`: `shape` is set
  CountedShape shape;
  kernels::Tensor tensor;  // without pieces if it is empty or `as_ones`

  std::vector<std::byte> converted;  // elements that were sent as `values`
  kernels::Piece piece;              // `converted`, or bytes in shared memory
};

// Reads one tensor, whatever its role, into `checked`, whose memory is used
// again. `data` is the tensor's `data` as the wire parser found it. Errors:
// INVALID_ARGUMENT, or those of `shared` for shared memory; messages begin with
// the field's path.
absl::Status ReadTensor(wire::Field field, const v1::Tensor& tensor,
                        std::span<const kernels::Piece> data,
                        SharedTensors* shared, CheckedTensor* checked);

// TensorFlow's limit, the highest among the frameworks. A shape is stored and
// echoed but not charged to the byte budget, so its rank is bounded.
inline constexpr int kMaxDimensions = 254;  // D18

// Returns the dimensions and their product, which is at most 2^60. A dimension
// of 0 makes the tensor empty, however large the others are. Errors:
// INVALID_ARGUMENT, with a message that begins with the field's path: `path`
// followed by `list`, such as ".shape".
absl::StatusOr<CountedShape> ReadShape(
    absl::string_view path, absl::string_view list,
    const google::protobuf::RepeatedField<int64_t>& shape);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_TENSOR_H_
