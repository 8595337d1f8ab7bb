#include "server/request/bad_elements.h"

#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

using kernels::OperandFault;
using wire::Field;

// Returns " (element [1, 3] of shape [2, 4])", or nothing for a shape in which
// the index says it all.
std::string PlaceText(uint64_t index, std::span<const uint64_t> dims) {
  if (dims.size() < 2) return "";
  std::vector<uint64_t> place(dims.size());
  for (size_t i = dims.size(); i-- > 0;) {
    place[i] = index % dims[i];
    index /= dims[i];
  }
  return absl::StrCat(" (element ", ShapeText(place), " of shape ",
                      ShapeText(dims), ")");
}

// Returns "2 is not ", or "not " for a target that only a GPU can read.
std::string TargetText(const kernels::Segment& segment, uint64_t index) {
  if (segment.targets.on_device) return "not ";
  return absl::StrCat(NumberText(kernels::TargetAt(segment, index)),
                      " is not ");
}

// Returns the index in a tensor of `dims` that element `element` of the logits
// reads under broadcasting.
uint64_t BroadcastIndex(uint64_t element, std::span<const uint64_t> logits_dims,
                        std::span<const uint64_t> dims) {
  const size_t lead = logits_dims.size() - dims.size();
  uint64_t index = 0;
  uint64_t stride = 1;
  for (size_t k = dims.size(); k-- > 0;) {
    const uint64_t place = element % logits_dims[lead + k];
    element /= logits_dims[lead + k];
    index += dims[k] == 1 ? 0 : place * stride;
    stride *= dims[k];
  }
  return index;
}

// Returns what the segment's element `element` reads of the operand.
double OperandValue(const kernels::Segment& segment,
                    const kernels::Operand& operand, uint64_t element) {
  uint64_t position = 0;
  for (int k = segment.shape.rank; k-- > 0;) {
    const auto axis = static_cast<size_t>(k);
    position += element % segment.shape.dims[axis] * operand.strides[axis];
    element /= segment.shape.dims[axis];
  }
  return kernels::ElementAt(operand.tensor, position);
}

Field FieldOf(OperandFault fault) {
  switch (fault) {
    case OperandFault::kWeightNotFinite:
    case OperandFault::kWeightNegative:
      return Field::kWeights;
    case OperandFault::kPosWeightNotFinite:
      return Field::kPosWeight;
    case OperandFault::kUpstreamNotFinite:
      return Field::kUpstreamGradient;
  }
  return Field::kWeights;
}

const kernels::Operand& OperandOf(const kernels::Segment& segment,
                                  Field field) {
  if (field == Field::kWeights) return segment.weights;
  return field == Field::kPosWeight ? segment.pos_weight : segment.upstream;
}

// Returns "-2 is below 0, and ..."; the value is left out if only a GPU can
// read it.
std::string FaultText(const kernels::Segment& segment, uint64_t element,
                      OperandFault fault) {
  const kernels::Operand& operand = OperandOf(segment, FieldOf(fault));
  const bool readable = !operand.tensor.on_device;
  const double value = readable ? OperandValue(segment, operand, element) : 0;
  const std::string subject =
      readable ? absl::StrCat(NumberText(value), " is ") : "";
  if (fault == OperandFault::kWeightNegative) {
    return absl::StrCat(subject,
                        "below 0, and spec.normalizer is "
                        "NORMALIZER_WEIGHT_SUM");
  }
  const bool rounded = readable && std::isfinite(value);
  return absl::StrCat(
      subject,
      rounded ? "infinite in float32, in which this loss is computed"
              : "not finite",
      ", and spec.nan_policy is NAN_POLICY_REJECT");
}

absl::Status OperandError(const kernels::Segment& segment, uint64_t mark,
                          const FieldShapes& shapes, uint64_t first_element) {
  const uint64_t element = kernels::ElementOfMark(mark);
  const OperandFault fault = kernels::FaultOfMark(mark);
  const Field field = FieldOf(fault);
  // An upstream gradient of rows has one element for each.
  const bool of_rows =
      field == Field::kUpstreamGradient && kernels::HasRows(segment.options);
  const uint64_t index =
      of_rows ? (first_element + element) / segment.row_elements
              : BroadcastIndex(first_element + element, shapes[Field::kLogits],
                               shapes[field]);
  return absl::InvalidArgumentError(absl::StrCat(
      Name(field), "[", index, "]: ", FaultText(segment, element, fault),
      PlaceText(index, shapes[field])));
}

}  // namespace

absl::Status CheckElements(const kernels::Segment& segment,
                           const kernels::Totals& totals,
                           const FieldShapes& shapes, uint64_t first_element) {
  if (segment.options.reject_nan_logits &&
      totals.first_nan != kernels::kNoIndex) {
    const uint64_t index = first_element + totals.first_nan;
    return absl::InvalidArgumentError(absl::StrCat(
        "logits[", index, "]: NaN, and spec.nan_policy is NAN_POLICY_REJECT",
        PlaceText(index, shapes[Field::kLogits])));
  }
  if (totals.first_bad_target != kernels::kNoIndex) {
    const uint64_t index = first_element + totals.first_bad_target;
    return absl::InvalidArgumentError(absl::StrCat(
        "targets[", index, "]: ", TargetText(segment, totals.first_bad_target),
        segment.options.targets_in_unit_interval ? "in [0, 1]" : "finite",
        PlaceText(index, shapes[Field::kTargets])));
  }
  if (totals.first_operand_fault == kernels::kNoIndex) return absl::OkStatus();
  return OperandError(segment, totals.first_operand_fault, shapes,
                      first_element);
}

}  // namespace lossd::request
