// The demands that the role of a tensor makes on its type and shape.
#ifndef LOSSD_SERVER_REQUEST_TENSOR_ROLES_H_
#define LOSSD_SERVER_REQUEST_TENSOR_ROLES_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "element_type/element_type.h"
#include "lossd/v1/loss_spec.pb.h"
#include "server/request/tensor.h"
#include "server/wire/field.h"

namespace lossd::request {

// The errors below are INVALID_ARGUMENT; the message begins with the field's
// path and names both values.

// Logits have a floating-point type; targets take every type.
absl::Status CheckLogitsType(ElementType type);

// Weights, pos_weight and upstream_gradient take every type but bit.
absl::Status CheckOperandType(wire::Field field, ElementType type);

// Return the type of the derivatives, and that of losses: the floating-point
// type that the spec names, or the type of the logits if it names none.
absl::StatusOr<ElementType> ReadGradientType(const v1::LossSpec& spec,
                                             ElementType logits);
absl::StatusOr<ElementType> ReadLossesType(const v1::LossSpec& spec,
                                           ElementType logits);

// Targets have the shape that `rule` asks for. `path` names their shape.
absl::Status CheckTargetsShape(absl::string_view path,
                               const CountedShape& targets,
                               const CountedShape& logits,
                               v1::TargetShapeRule rule);

// An ignored target equals some value of the targets' type; nothing stands for
// targets that are given by their ones.
absl::Status CheckIgnoreTarget(std::optional<double> ignore_target,
                               std::optional<ElementType> targets);

// An upstream gradient of one element is finite, unless NaN propagates.
absl::Status CheckUpstreamScalar(double upstream,
                                 const kernels::LossOptions& options);

// Returns the strides, as BroadcastStrides() does, of an upstream gradient of
// other than one element: with kNone it broadcasts to the logits, and with
// kRows it has an element for each row. Other reductions take one element.
absl::StatusOr<Dims> UpstreamStrides(const CountedShape& upstream,
                                     const Dims& logits,
                                     kernels::Reduction reduction);

// Returns the elements of a row: an index of the logits' first dimension.
// Logits of rank 0 have none.
absl::StatusOr<uint64_t> RowElements(const CountedShape& logits);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_TENSOR_ROLES_H_
