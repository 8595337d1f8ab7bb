#include "server/request/valid_request.h"

#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "server/base/reusable_buffers.h"
#include "server/base/status_macros.h"
#include "server/request/broadcasting.h"
#include "server/request/format.h"
#include "server/request/ones.h"
#include "server/request/spec.h"
#include "server/request/tensor_roles.h"

namespace lossd::request {

using wire::Field;

// Each step relies on those before it: the shapes of targets and operands are
// held against the logits', and the results' destinations against every tensor
// that is read from shared memory.
absl::Status ValidRequest::Read(const wire::RequestParser& parser,
                                const shared_memory::RegionTable* regions,
                                bool may_share) {
  const v1::ComputeLossRequest& request = parser.request();
  segment_ = kernels::Segment();
  shared_.Start(regions, may_share);
  absl::StatusOr<kernels::LossOptions> options = ReadSpec(request.spec());
  if (!options.ok()) return options.status();
  segment_.options = *options;
  RETURN_IF_ERROR(ReadTensors(parser));
  RETURN_IF_ERROR(ReadLogitsAndTargets(request));
  RETURN_IF_ERROR(ReadRows());
  RETURN_IF_ERROR(ReadResults(request));
  RETURN_IF_ERROR(ReadOperands());
  segment_.device = shared_.device();
  RETURN_IF_ERROR(CheckRowsPlace());
  return CheckReply();
}

void ValidRequest::Clear() {
  segment_ = kernels::Segment();
  shared_.Start(nullptr);
  for (CheckedTensor& checked : tensors_) {
    checked.tensor = kernels::Tensor();
    ClearForReuse(checked.shape.dims);
    ClearForReuse(checked.converted);
  }
  ClearForReuse(ones_);
}

size_t ValidRequest::kept_bytes() const {
  size_t kept = CapacityInBytes(ones_);
  for (const CheckedTensor& checked : tensors_) {
    kept += CapacityInBytes(checked.shape.dims) +
            CapacityInBytes(checked.converted);
  }
  return kept;
}

uint64_t ValidRequest::converted_bytes() const {
  uint64_t bytes = segment_.ones.indices.size_bytes();
  for (const CheckedTensor& checked : tensors_) {
    if (checked.as_values) bytes += checked.converted.size();
  }
  return bytes;
}

FieldShapes ValidRequest::shapes() const {
  FieldShapes shapes;
  for (const Field field : wire::kAllFields) {
    shapes[field] = tensors_[field].shape.dims;
  }
  return shapes;
}

uint64_t ValidRequest::reply_bytes() const {
  const uint64_t derivatives =
      uint64_t{gradient_in_reply_} + second_derivative_in_reply_;
  const uint64_t numbers = derivatives * segment_.element_count +
                           (wants_losses() ? losses_count() : 0);
  const uint64_t values = as_values() ? numbers * sizeof(double) : 0;
  return gradient_bytes() + second_derivative_bytes() + losses_bytes() + values;
}

absl::Status ValidRequest::ReadTensors(const wire::RequestParser& parser) {
  for (const Field field : wire::kAllFields) {
    RETURN_IF_ERROR(ReadTensor(field, wire::TensorOf(parser.request(), field),
                               parser.data(field), &shared_, &tensors_[field]));
  }
  return absl::OkStatus();
}

absl::Status ValidRequest::ReadLogitsAndTargets(
    const v1::ComputeLossRequest& request) {
  if (!logits().present) return absl::InvalidArgumentError("logits: absent");
  if (!targets().present) return absl::InvalidArgumentError("targets: absent");
  RETURN_IF_ERROR(CheckLogitsType(logits().tensor.type));
  const bool takes_logits_shape = targets().as_ones && !targets().has_shape;
  if (!takes_logits_shape) {
    RETURN_IF_ERROR(CheckTargetsShape("targets.shape", targets().shape,
                                      logits().shape,
                                      request.spec().target_shape_rule()));
  }
  RETURN_IF_ERROR(CheckIgnoreTarget(
      segment_.options.ignore_target,
      targets().as_ones ? std::nullopt : std::optional(targets().tensor.type)));
  segment_.logits = logits().tensor;
  segment_.targets = targets().tensor;
  segment_.element_count = logits().shape.count;
  if (!targets().as_ones) return absl::OkStatus();
  absl::StatusOr<kernels::Ones> ones =
      ReadOnes(request.targets(),
               takes_logits_shape ? dims() : targets().shape.dims, &ones_);
  if (!ones.ok()) return ones.status();
  segment_.ones = *ones;
  return absl::OkStatus();
}

absl::Status ValidRequest::ReadResults(const v1::ComputeLossRequest& request) {
  const v1::LossSpec& spec = request.spec();
  gradient_in_reply_ = spec.gradient() != v1::GRADIENT_MODE_OMIT;
  second_derivative_in_reply_ =
      spec.second_derivative() == v1::SECOND_DERIVATIVE_MODE_RETURN;
  absl::StatusOr<kernels::ElementType> type =
      ReadGradientType(spec, segment_.logits.type);
  if (!type.ok()) return type.status();
  segment_.gradient_type = *type;
  type = ReadLossesType(spec, segment_.logits.type);
  if (!type.ok()) return type.status();
  segment_.losses_type = *type;
  return ReadDestinations(request);
}

absl::Status ValidRequest::ReadDestinations(
    const v1::ComputeLossRequest& request) {
  if (request.has_gradient_destination()) {
    if (!gradient_in_reply_) {
      return absl::InvalidArgumentError(
          "gradient_destination: spec.gradient is GRADIENT_MODE_OMIT");
    }
    absl::StatusOr<SharedBytes> found = ReadDestination(
        "gradient_destination", "gradient", request.gradient_destination());
    if (!found.ok()) return found.status();
    segment_.gradient = found->bytes.data();
    segment_.gradient_on_device = found->on_device();
    segment_.gradient_pinned = found->pinned;
    gradient_in_reply_ = false;
  }
  if (!request.has_second_derivative_destination()) return absl::OkStatus();
  if (!second_derivative_in_reply_) {
    return absl::InvalidArgumentError(
        "second_derivative_destination: spec.second_derivative is not "
        "SECOND_DERIVATIVE_MODE_RETURN");
  }
  absl::StatusOr<SharedBytes> found =
      ReadDestination("second_derivative_destination", "second derivative",
                      request.second_derivative_destination());
  if (!found.ok()) return found.status();
  segment_.second_derivative = found->bytes.data();
  segment_.second_derivative_on_device = found->on_device();
  segment_.second_derivative_pinned = found->pinned;
  second_derivative_in_reply_ = false;
  return absl::OkStatus();
}

absl::StatusOr<SharedBytes> ValidRequest::ReadDestination(
    absl::string_view path, absl::string_view result,
    const v1::SharedMemoryRef& destination) {
  if (destination.byte_size() != derivative_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ".byte_size: ", destination.byte_size(), ", but the ", result,
        " of shape ", ShapeText(dims()), " takes ", derivative_bytes()));
  }
  return shared_.Destination(path, destination);
}

absl::Status ValidRequest::ReadOperands() {
  const struct {
    Field field;
    kernels::Operand* operand;
  } roles[] = {{Field::kWeights, &segment_.weights},
               {Field::kPosWeight, &segment_.pos_weight},
               {Field::kUpstreamGradient, &segment_.upstream}};
  absl::InlinedVector<kernels::Operand*, kMaxOperands> operands;
  absl::InlinedVector<Dims, kMaxOperands> strides;
  for (const auto& [field, operand] : roles) {
    const CheckedTensor& checked = tensors_[field];
    if (!checked.present) continue;
    RETURN_IF_ERROR(CheckOperandType(field, checked.tensor.type));
    if (field == Field::kUpstreamGradient && checked.shape.count == 1) {
      RETURN_IF_ERROR(ReadUpstreamScalar(checked.tensor));
      continue;
    }
    absl::StatusOr<Dims> broadcast =
        field == Field::kUpstreamGradient
            ? UpstreamStrides(checked.shape, dims(), segment_.options.reduction)
            : BroadcastStrides(field, checked.shape.dims, dims());
    if (!broadcast.ok()) return broadcast.status();
    operand->tensor = checked.tensor;
    operands.push_back(operand);
    strides.push_back(*std::move(broadcast));
  }
  absl::StatusOr<FoldedShape> folded = FoldShape(dims(), strides);
  if (!folded.ok()) return folded.status();
  segment_.shape = folded->shape;
  for (size_t i = 0; i < operands.size(); ++i) {
    operands[i]->strides = folded->strides[i];
  }
  return absl::OkStatus();
}

// The gradient's scale is made on the host, so it cannot depend on an element
// that only a GPU can read.
absl::Status ValidRequest::ReadUpstreamScalar(const kernels::Tensor& upstream) {
  if (upstream.on_device) {
    return absl::InvalidArgumentError(
        "upstream_gradient.shared_memory: 1 element in memory of a GPU; send "
        "it as data or values");
  }
  segment_.upstream_scalar = kernels::ElementAt(upstream, 0);
  return CheckUpstreamScalar(segment_.upstream_scalar, segment_.options);
}

absl::Status ValidRequest::ReadRows() {
  if (!kernels::HasRows(segment_.options)) return absl::OkStatus();
  absl::StatusOr<uint64_t> elements = RowElements(logits().shape);
  if (!elements.ok()) return elements.status();
  segment_.row_elements = *elements;
  return absl::OkStatus();
}

// Rows are added up on the host.
absl::Status ValidRequest::CheckRowsPlace() const {
  if (!kernels::HasRows(segment_.options) ||
      segment_.device == kernels::kHost) {
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      "spec.reduction: rows of tensors in memory of a GPU; use memory of the "
      "host, or REDUCTION_NONE and add up the losses");
}

// Results can exceed protobuf's limit if logits lie in shared memory, or if the
// gradient's type is wider than theirs.
absl::Status ValidRequest::CheckReply() const {
  constexpr uint64_t kMaxReplyBytes = (uint64_t{1} << 31) - (1 << 16);
  if (reply_bytes() <= kMaxReplyBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "logits.shape: ", ShapeText(dims()), " has results of ", reply_bytes(),
      " bytes, and a reply holds ", kMaxReplyBytes));
}

}  // namespace lossd::request
