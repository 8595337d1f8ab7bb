#include "server/request/valid_request.h"

#include "absl/strings/str_cat.h"
#include "server/base/reusable_buffers.h"
#include "server/request/broadcasting.h"
#include "server/request/format.h"
#include "server/request/ones.h"
#include "server/request/spec.h"

namespace lossd::request {
namespace {

// The scale of a gradient is made on the host.
absl::Status UpstreamOnDevice() {
  return absl::InvalidArgumentError(
      "upstream_gradient.shared_memory: 1 element in memory of a GPU; send it "
      "as data or values");
}

}  // namespace

absl::Status ValidRequest::Read(const wire::RequestParser& parser,
                                const shared_memory::RegionTable* regions) {
  const v1::ComputeLossRequest& request = parser.request();
  segment_ = kernels::Segment();
  shared_.Start(regions);
  if (absl::Status status = ReadSpec(request.spec(), &segment_.options);
      !status.ok()) {
    return status;
  }
  for (int i = 0; i < wire::kFieldCount; ++i) {
    const wire::Field field = static_cast<wire::Field>(i);
    if (absl::Status status =
            ReadTensor(field, wire::TensorOf(request, field),
                       parser.data(field), &shared_, &tensors_[i]);
        !status.ok()) {
      return status;
    }
  }
  if (absl::Status status = CheckLogitsAndTargets(); !status.ok())
    return status;
  segment_.logits = of(wire::Field::kLogits).tensor;
  segment_.targets = of(wire::Field::kTargets).tensor;
  segment_.element_count = of(wire::Field::kLogits).count;
  if (of(wire::Field::kTargets).as_ones) {
    if (absl::Status status = ReadOnesOf(request.targets()); !status.ok()) {
      return status;
    }
  }
  if (absl::Status status = CheckGradient(request); !status.ok()) return status;
  segment_.device = shared_.device();
  if (absl::Status status = CheckUpstream(); !status.ok()) return status;
  if (absl::Status status = ReadOperands(); !status.ok()) return status;
  return CheckReply();
}

void ValidRequest::Clear() {
  segment_ = kernels::Segment();
  shared_.Start(nullptr);
  for (CheckedTensor& checked : tensors_) {
    checked.tensor = kernels::Tensor();
    ClearForReuse(checked.dims);
    ClearForReuse(checked.converted);
  }
  ClearForReuse(ones_);
}

size_t ValidRequest::kept_bytes() const {
  size_t kept = CapacityInBytes(ones_);
  for (const CheckedTensor& checked : tensors_) {
    kept += CapacityInBytes(checked.dims) + CapacityInBytes(checked.converted);
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

uint64_t ValidRequest::reply_bytes() const {
  const uint64_t results = uint64_t{wants_gradient_} + wants_losses();
  const uint64_t values =
      as_values() ? results * segment_.element_count * sizeof(double) : 0;
  return gradient_bytes() + losses_bytes() + values;
}

absl::Status ValidRequest::CheckLogitsAndTargets() const {
  const CheckedTensor& logits = of(wire::Field::kLogits);
  const CheckedTensor& targets = of(wire::Field::kTargets);
  if (!logits.present) return absl::InvalidArgumentError("logits: absent");
  if (!targets.present) return absl::InvalidArgumentError("targets: absent");
  if (absl::Status status = CheckLogitsType(logits.tensor.type); !status.ok()) {
    return status;
  }
  if (targets.as_ones && !targets.has_shape) return absl::OkStatus();
  if (targets.count != logits.count) {
    return absl::InvalidArgumentError(
        absl::StrCat("targets.shape: ", ShapeText(targets.dims), " has ",
                     targets.count, " elements, the logits' shape ",
                     ShapeText(logits.dims), " has ", logits.count));
  }
  // A rank-0 tensor has no first dimension that could differ.
  if (!logits.dims.empty() && !targets.dims.empty() &&
      logits.dims[0] != targets.dims[0]) {
    return absl::InvalidArgumentError(absl::StrCat(
        "targets.shape: ", ShapeText(targets.dims), " has the first dimension ",
        targets.dims[0], ", the logits' shape ", ShapeText(logits.dims),
        " has ", logits.dims[0]));
  }
  return absl::OkStatus();
}

absl::Status ValidRequest::ReadOnesOf(const v1::Tensor& targets) {
  const Dims& own = of(wire::Field::kTargets).has_shape
                        ? of(wire::Field::kTargets).dims
                        : dims();
  return targets.has_ones()
             ? ReadOnes(targets.ones(), own, &ones_, &segment_.ones)
             : ReadIdentity(targets.identity(), own, &segment_.ones);
}

absl::Status ValidRequest::CheckGradient(
    const v1::ComputeLossRequest& request) {
  wants_gradient_ = request.spec().gradient() != v1::GRADIENT_MODE_OMIT;
  if (absl::Status status = ReadGradientType(
          request.spec(), segment_.logits.type, &segment_.gradient_type);
      !status.ok()) {
    return status;
  }
  return request.has_gradient_destination()
             ? ReadDestination(request.gradient_destination())
             : absl::OkStatus();
}

// Last of all that reads shared memory, so that every source is known.
absl::Status ValidRequest::ReadDestination(
    const v1::SharedMemoryRef& destination) {
  if (!wants_gradient_) {
    return absl::InvalidArgumentError(
        "gradient_destination: spec.gradient is GRADIENT_MODE_OMIT");
  }
  if (destination.byte_size() != gradient_bytes()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "gradient_destination.byte_size: ", destination.byte_size(),
        ", but the gradient of shape ", ShapeText(dims()), " takes ",
        gradient_bytes()));
  }
  absl::StatusOr<SharedBytes> found = shared_.Destination(destination);
  if (!found.ok()) return found.status();
  segment_.gradient = found->bytes.data();
  segment_.gradient_on_device = found->on_device();
  wants_gradient_ = false;
  return absl::OkStatus();
}

// Logits in shared memory, or narrow ones with a wide gradient, can have
// results beyond what protobuf holds.
absl::Status ValidRequest::CheckReply() const {
  constexpr uint64_t kMaxReplyBytes = (uint64_t{1} << 31) - (1 << 16);
  if (reply_bytes() <= kMaxReplyBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "logits.shape: ", ShapeText(dims()), " has results of ", reply_bytes(),
      " bytes, and a reply holds ", kMaxReplyBytes));
}

// One element, or, with REDUCTION_NONE, the logits' shape.
absl::Status ValidRequest::CheckUpstream() const {
  const CheckedTensor& upstream = of(wire::Field::kUpstreamGradient);
  if (!upstream.present || upstream.count == 1) return absl::OkStatus();
  if (!wants_losses()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "upstream_gradient.shape: ", ShapeText(upstream.dims), " has ",
        upstream.count, " elements, and a reduced loss takes 1"));
  }
  if (upstream.dims == dims()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "upstream_gradient.shape: ", ShapeText(upstream.dims),
      " is neither one element nor the logits' shape ", ShapeText(dims())));
}

absl::Status ValidRequest::ReadOperands() {
  absl::InlinedVector<FoldedOperand, 3> operands;
  const auto add = [&](wire::Field field,
                       kernels::Operand* operand) -> absl::Status {
    const CheckedTensor& checked = of(field);
    if (!checked.present) return absl::OkStatus();
    absl::Status status = CheckOperandType(field, checked.tensor.type);
    if (!status.ok()) return status;
    if (field == wire::Field::kUpstreamGradient && checked.count == 1) {
      if (checked.tensor.on_device) return UpstreamOnDevice();
      segment_.upstream_scalar = kernels::ElementAt(checked.tensor, 0);
      return absl::OkStatus();
    }
    absl::StatusOr<Dims> strides =
        BroadcastStrides(field, checked.dims, dims());
    if (!strides.ok()) return strides.status();
    operand->tensor = checked.tensor;
    operands.push_back({*std::move(strides), operand});
    return absl::OkStatus();
  };
  if (absl::Status s = add(wire::Field::kWeights, &segment_.weights); !s.ok())
    return s;
  if (absl::Status s = add(wire::Field::kPosWeight, &segment_.pos_weight);
      !s.ok())
    return s;
  if (absl::Status s = add(wire::Field::kUpstreamGradient, &segment_.upstream);
      !s.ok()) {
    return s;
  }
  return FoldShape(dims(), std::span(operands.data(), operands.size()),
                   &segment_.shape);
}

}  // namespace lossd::request
