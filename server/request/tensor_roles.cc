#include "server/request/tensor_roles.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "server/request/broadcasting.h"
#include "server/request/format.h"
#include "server/request/typed_values.h"

namespace lossd::request {
namespace {

Dims WithoutOnes(const Dims& dims) {
  Dims kept;
  for (const uint64_t dim : dims) {
    if (dim != 1) kept.push_back(dim);
  }
  return kept;
}

absl::StatusOr<ElementType> ReadResultType(absl::string_view path,
                                           v1::DataType dtype,
                                           ElementType logits) {
  if (dtype == v1::DATA_TYPE_UNSPECIFIED) return logits;
  const std::optional<ElementType> type = FromProto(dtype);
  if (type.has_value() && IsFloat(*type)) return *type;
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": ", v1::DataType_Name(dtype), " is not a floating-point type"));
}

}  // namespace

absl::Status CheckLogitsType(ElementType type) {
  if (IsFloat(type)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("logits.dtype: ", v1::DataType_Name(ToProto(type)),
                   " is not a floating-point type, as logits are"));
}

absl::Status CheckOperandType(wire::Field field, ElementType type) {
  if (type != ElementType::kBit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(Name(field),
                   ".dtype: DATA_TYPE_BIT is for targets alone; send "
                   "DATA_TYPE_BOOL or DATA_TYPE_UINT8"));
}

absl::StatusOr<ElementType> ReadGradientType(const v1::LossSpec& spec,
                                             ElementType logits) {
  return ReadResultType("spec.gradient_dtype", spec.gradient_dtype(), logits);
}

absl::StatusOr<ElementType> ReadLossesType(const v1::LossSpec& spec,
                                           ElementType logits) {
  return ReadResultType("spec.losses_dtype", spec.losses_dtype(), logits);
}

absl::Status CheckTargetsShape(absl::string_view path,
                               const CountedShape& targets,
                               const CountedShape& logits,
                               v1::TargetShapeRule rule) {
  if (rule != v1::TARGET_SHAPE_RULE_SAME_COUNT) {
    if (WithoutOnes(targets.dims) == WithoutOnes(logits.dims)) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": ", ShapeText(targets.dims), " is not the logits' shape ",
        ShapeText(logits.dims),
        ", dimensions of 1 apart; spec.target_shape_rule can allow it"));
  }
  // A tensor of rank 0 has no first dimension that could differ.
  const bool same_first = targets.dims.empty() || logits.dims.empty() ||
                          targets.dims[0] == logits.dims[0];
  if (targets.count == logits.count && same_first) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": ", ShapeText(targets.dims),
      " must have the logits' element count and first dimension; the logits "
      "are ",
      ShapeText(logits.dims)));
}

absl::Status CheckIgnoreTarget(std::optional<double> ignore_target,
                               std::optional<ElementType> targets) {
  if (!ignore_target) return absl::OkStatus();
  const ElementType type = targets.value_or(ElementType::kBit);
  const double nearest = NearestElement(type, *ignore_target);
  if (nearest == *ignore_target || std::isnan(nearest)) return absl::OkStatus();
  std::string hint;
  if (std::isfinite(nearest) && !std::isnan(*ignore_target)) {
    hint = absl::StrCat("; the nearest is ", NumberText(nearest));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "spec.ignore_target: ", NumberText(*ignore_target), " is not a value of ",
      targets ? View(Name(type)) : "ones and identity",
      ", the type of the targets", hint));
}

absl::Status CheckUpstreamScalar(double upstream,
                                 const kernels::LossOptions& options) {
  if (!options.reject_nan_logits || std::isfinite(upstream)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("upstream_gradient[0]: ", NumberText(upstream),
                   " is not finite, and spec.nan_policy is NAN_POLICY_REJECT"));
}

absl::StatusOr<Dims> UpstreamStrides(const CountedShape& upstream,
                                     const Dims& logits,
                                     kernels::Reduction reduction) {
  if (reduction == kernels::Reduction::kNone) {
    return BroadcastStrides(wire::Field::kUpstreamGradient, upstream.dims,
                            logits);
  }
  if (reduction != kernels::Reduction::kRows) {
    return absl::InvalidArgumentError(absl::StrCat(
        "upstream_gradient.shape: ", ShapeText(upstream.dims), " has ",
        upstream.count, " elements, and a reduced loss takes 1"));
  }
  // Dimensions of 1 may follow those of the rows.
  const bool fits = !upstream.dims.empty() && upstream.dims[0] == logits[0] &&
                    upstream.dims.size() <= logits.size() &&
                    std::all_of(upstream.dims.begin() + 1, upstream.dims.end(),
                                [](uint64_t dim) { return dim == 1; });
  if (!fits) {
    return absl::InvalidArgumentError(absl::StrCat(
        "upstream_gradient.shape: ", ShapeText(upstream.dims),
        " is neither one element nor one for each of the ", logits[0],
        " rows of the logits' shape ", ShapeText(logits)));
  }
  Dims strides(logits.size(), 0);
  strides[0] = 1;
  return strides;
}

absl::StatusOr<uint64_t> RowElements(const CountedShape& logits) {
  if (logits.dims.empty()) {
    return absl::InvalidArgumentError(
        "spec.reduction: rows are the first dimension of logits.shape, which "
        "is []");
  }
  return logits.dims[0] == 0 ? 0 : logits.count / logits.dims[0];
}

}  // namespace lossd::request
