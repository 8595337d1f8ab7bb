// Tensor -> where its elements lie, of which type, in which dimensions.
#ifndef LOSSD_SERVER_REQUEST_TENSOR_H_
#define LOSSD_SERVER_REQUEST_TENSOR_H_

#include <google/protobuf/repeated_field.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/loss_spec.pb.h"
#include "lossd/v1/tensor.pb.h"
#include "server/request/shared_tensors.h"
#include "server/wire/field.h"

namespace lossd::request {

using Dims = absl::InlinedVector<uint64_t, kernels::kMaxRank>;

// A tensor of a request that is right in itself: known dtype, dimensions that
// multiply without overflow, as many bytes as they ask for. The memory behind
// `tensor` is borrowed from the parsed request, from shared memory, or from
// `converted`: not movable.
struct CheckedTensor {
  CheckedTensor() = default;
  CheckedTensor(const CheckedTensor&) = delete;
  CheckedTensor& operator=(const CheckedTensor&) = delete;

  bool present = false;
  bool as_values = false;  // sent as `values`, not as bytes
  bool as_ones = false;    // targets sent as `ones` or `identity`
  bool has_shape = false;  // of such targets; else dims and count are not set
  Dims dims;
  uint64_t count = 0;      // of elements
  kernels::Tensor tensor;  // no pieces if count is 0, and of `as_ones`

  // Elements converted from `values`.
  std::vector<std::byte> converted;
  kernels::Piece piece;  // of those, or of shared memory
};

// Checks one tensor, whatever its role. INVALID_ARGUMENT or UNIMPLEMENTED, or
// what `shared` says of shared memory; messages begin with the field's path.
// `data` is what the wire parser found.
absl::Status ReadTensor(wire::Field field, const v1::Tensor& tensor,
                        std::span<const kernels::Piece> data,
                        SharedTensors* shared, CheckedTensor* checked);

// TensorFlow's limit, the highest of the frameworks'. What a shape makes the
// server hold and answer is charged to nobody.
inline constexpr int kMaxDimensions = 254;  // D18

// Dimensions, and their product: at most 2^60. A 0 anywhere makes the tensor
// empty, however large the other dimensions are. INVALID_ARGUMENT begins with
// the field's path, `path` and then `list`, such as ".shape".
absl::Status ReadShape(absl::string_view path, absl::string_view list,
                       const google::protobuf::RepeatedField<int64_t>& shape,
                       Dims* dims, uint64_t* count);

// The dtypes that each role takes; targets take all.
absl::Status CheckLogitsType(kernels::ElementType type);
// Weights, pos_weight, upstream_gradient.
absl::Status CheckOperandType(wire::Field field, kernels::ElementType type);

// The type of the gradient that a spec asks for: any of the float types, or the
// logits'.
absl::Status ReadGradientType(const v1::LossSpec& spec,
                              kernels::ElementType logits,
                              kernels::ElementType* gradient);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_TENSOR_H_
