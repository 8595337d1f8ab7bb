#include "server/request/stream_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "server/request/broadcasting.h"
#include "server/request/format.h"
#include "server/request/ones.h"
#include "server/request/spec.h"

namespace lossd::request {
namespace {

using kernels::Normalizer;

constexpr wire::Field kFields[wire::kFieldCount] = {
    wire::Field::kLogits, wire::Field::kTargets, wire::Field::kWeights,
    wire::Field::kPosWeight, wire::Field::kUpstreamGradient};

}  // namespace

absl::Status StreamPlan::Read(v1::StreamLossHeader header) {
  header_ = std::move(header);
  kernels::LossOptions& options = whole_.options;
  if (absl::Status s = ReadSpec(header_.spec(), &options); !s.ok()) return s;
  if (absl::Status s =
          ReadShape("header", ".shape", header_.shape(), &dims_, &count_);
      !s.ok()) {
    return s;
  }
  whole_.element_count = count_;
  if (!dims_.empty()) {
    whole_.shape.rank = 1;
    whole_.shape.dims[0] = dims_[0];
  }
  if (absl::Status s = ReadTypes(); !s.ok()) return s;
  if (absl::Status s = ReadGradient(); !s.ok()) return s;
  return ReadNormalizer();
}

absl::Status StreamPlan::ReadTypes() {
  if (absl::Status s = ReadType("logits_dtype", header_.logits_dtype(),
                                wire::Field::kLogits);
      !s.ok()) {
    return s;
  }
  if (absl::Status s = CheckLogitsType(of(wire::Field::kLogits).type); !s.ok())
    return s;
  absl::Status status =
      header_.has_targets() ? ReadOnesTargets() : ReadTargetsInChunks();
  if (!status.ok()) return status;
  status = ReadOperand(wire::Field::kWeights, header_.weights_dtype(),
                       header_.has_weights() ? &header_.weights() : nullptr);
  if (!status.ok()) return status;
  status =
      ReadOperand(wire::Field::kPosWeight, header_.pos_weight_dtype(),
                  header_.has_pos_weight() ? &header_.pos_weight() : nullptr);
  if (!status.ok()) return status;
  status = ReadOperand(
      wire::Field::kUpstreamGradient, header_.upstream_gradient_dtype(),
      header_.has_upstream_gradient() ? &header_.upstream_gradient() : nullptr);
  return status.ok() ? ReadUpstream() : status;
}

absl::Status StreamPlan::ReadType(absl::string_view path, v1::DataType dtype,
                                  wire::Field field) {
  const std::optional<kernels::ElementType> type = FromProto(dtype);
  if (!type.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("header.", path, ": ", static_cast<int>(dtype),
                     " is not a value of DataType"));
  }
  of(field).type = *type;
  of(field).streamed = true;
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadOnesTargets() {
  Source& targets = of(wire::Field::kTargets);
  if (!header_.targets().has_ones() && !header_.targets().has_identity()) {
    return absl::InvalidArgumentError(
        "header.targets: only ones and identity are sent whole; send data in "
        "chunks");
  }
  SharedTensors none;
  if (absl::Status s = ReadTensor(wire::Field::kTargets, header_.targets(), {},
                                  &none, &targets.whole);
      !s.ok()) {
    return s;
  }
  const Dims& own = targets.whole.has_shape ? targets.whole.dims : dims_;
  if (targets.whole.has_shape) {
    absl::Status s =
        CheckTargetsShape("targets.shape", own, targets.whole.count);
    if (!s.ok()) return s;
  }
  return header_.targets().has_ones()
             ? ReadOnes(header_.targets().ones(), own, &one_indices_,
                        &whole_.ones)
             : ReadIdentity(header_.targets().identity(), own, &whole_.ones);
}

absl::Status StreamPlan::ReadTargetsInChunks() {
  if (absl::Status s = ReadType("targets_dtype", header_.targets_dtype(),
                                wire::Field::kTargets);
      !s.ok() || header_.targets_shape().empty()) {
    return s;
  }
  Dims own;
  uint64_t count = 0;
  absl::Status s = ReadShape("header", ".targets_shape",
                             header_.targets_shape(), &own, &count);
  return s.ok() ? CheckTargetsShape("targets_shape", own, count) : s;
}

Dims StreamPlan::targets_dims() const {
  const auto& own = header_.targets_shape();
  return own.empty() ? dims_ : Dims(own.begin(), own.end());
}

absl::Status StreamPlan::CheckTargetsShape(absl::string_view path,
                                           const Dims& dims,
                                           uint64_t count) const {
  // A rank-0 tensor has no first dimension that could differ.
  const bool same_first = dims.empty() || dims_.empty() || dims[0] == dims_[0];
  if (count == count_ && same_first) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "header.", path, ": ", ShapeText(dims),
      " has not as many elements and the same first dimension as the logits' "
      "shape ",
      ShapeText(dims_)));
}

absl::Status StreamPlan::ReadOperand(wire::Field field, v1::DataType dtype,
                                     const v1::Tensor* whole) {
  Source& source = of(field);
  const absl::string_view name = Name(field);
  const bool in_chunks = dtype != v1::DATA_TYPE_UNSPECIFIED;
  if (whole == nullptr) {
    if (!in_chunks) return absl::OkStatus();
    absl::Status s = ReadType(absl::StrCat(name, "_dtype"), dtype, field);
    return s.ok() ? CheckOperandType(field, source.type) : s;
  }
  if (in_chunks) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header.", name, ": beside ", name, "_dtype; send one of the two"));
  }
  return ReadWhole(field, *whole);
}

absl::Status StreamPlan::ReadWhole(wire::Field field,
                                   const v1::Tensor& tensor) {
  if (tensor.has_shared_memory()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header.", Name(field), ".shared_memory: a stream sends its tensors"));
  }
  Source& source = of(field);
  // The header's message is the memory.
  source.whole.piece = std::as_bytes(std::span(tensor.data()));
  const size_t pieces = tensor.data().empty() ? 0 : 1;
  SharedTensors none;
  if (absl::Status s =
          ReadTensor(field, tensor, std::span(&source.whole.piece, pieces),
                     &none, &source.whole);
      !s.ok()) {
    return s;
  }
  source.type = source.whole.tensor.type;
  if (!source.whole.present) return absl::OkStatus();
  if (absl::Status s = CheckOperandType(field, source.type); !s.ok()) return s;
  // One element of any rank is an upstream gradient.
  if (field == wire::Field::kUpstreamGradient && source.whole.count == 1) {
    return absl::OkStatus();
  }
  absl::StatusOr<Dims> strides =
      BroadcastStrides(field, source.whole.dims, dims_);
  if (!strides.ok()) return strides.status();
  source.strides = *std::move(strides);
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadUpstream() {
  Source& upstream = of(wire::Field::kUpstreamGradient);
  if (upstream.streamed && !wants_losses()) {
    return absl::InvalidArgumentError(
        "header.upstream_gradient_dtype: a reduced loss takes 1 element; send "
        "it in header.upstream_gradient");
  }
  if (!upstream.whole.present) return absl::OkStatus();
  if (upstream.whole.count == 1) {
    whole_.upstream_scalar = kernels::ElementAt(upstream.whole.tensor, 0);
    upstream.whole.present = false;
    return absl::OkStatus();
  }
  if (!wants_losses()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "upstream_gradient.shape: ", ShapeText(upstream.whole.dims), " has ",
        upstream.whole.count, " elements, and a reduced loss takes 1"));
  }
  if (upstream.whole.dims == dims_) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "upstream_gradient.shape: ", ShapeText(upstream.whole.dims),
      " is neither one element nor the logits' shape ", ShapeText(dims_)));
}

absl::Status StreamPlan::ReadGradient() {
  wants_gradient_ = header_.spec().gradient() != v1::GRADIENT_MODE_OMIT;
  return ReadGradientType(header_.spec(), of(wire::Field::kLogits).type,
                          &whole_.gradient_type);
}

absl::Status StreamPlan::ReadNormalizer() {
  kernels::LossOptions& options = whole_.options;
  const bool has_weights = of(wire::Field::kWeights).streamed ||
                           of(wire::Field::kWeights).whole.present;
  if (kernels::NeedsCounts(options)) {
    if (header_.has_declared_normalizer()) {
      const double declared = header_.declared_normalizer();
      if (!(declared > 0) || std::isinf(declared)) {
        return absl::InvalidArgumentError(
            absl::StrCat("header.declared_normalizer: ", NumberText(declared),
                         " is not greater than 0 and finite"));
      }
      options.normalizer = Normalizer::kCaller;
      options.normalizer_value = declared;
    } else if (!options.ignore_target && count_ > 0 &&
               (options.normalizer == Normalizer::kValid || !has_weights)) {
      options.normalizer = Normalizer::kElements;  // each element counts 1
    }
  }
  deferred_ = wants_gradient_ && kernels::NeedsCounts(options);
  // A window's scale is that of the whole, or 1 until the end.
  pattern_ = whole_;
  pattern_.ones = {};
  pattern_.shape.rank = 1;
  pattern_.logits.type = of(wire::Field::kLogits).type;
  pattern_.options.normalizer = Normalizer::kCaller;
  pattern_.options.normalizer_value = 1;
  if (deferred_) {
    pattern_.options.loss_weight = pattern_.upstream_scalar = 1;
  } else if (!kernels::NeedsCounts(options)) {
    pattern_.options.normalizer_value = kernels::NormalizerOf(whole_, {});
  }
  return absl::OkStatus();
}

uint64_t StreamPlan::ElementsIn(wire::Field field, uint64_t bytes) const {
  if (of(field).type == kernels::ElementType::kBit) {
    return std::min(8 * bytes, count_);
  }
  return std::min(bytes / ByteSize(field, 1), count_);
}

std::string StreamPlan::Describe(wire::Field field) const {
  return absl::StrCat(View(kernels::Name(of(field).type)), " of shape ",
                      ShapeText(dims_));
}

uint64_t StreamPlan::header_bytes() const {
  uint64_t bytes =
      header_.SpaceUsedLong() + one_indices_.capacity() * sizeof(uint64_t);
  for (const Source& source : sources_) bytes += source.whole.converted.size();
  return bytes;
}

uint64_t StreamPlan::ArrivingBytes(uint64_t count) const {
  uint64_t bytes = 0;
  for (const wire::Field field : kFields) {
    if (streamed(field)) bytes += ByteSize(field, count);
  }
  return bytes;
}

uint64_t StreamPlan::MadeBytes(uint64_t count) const {
  uint64_t bytes = 0;
  for (const Source& source : sources_) {
    if (source.expands()) bytes += kernels::ByteSize(source.type, count);
  }
  if (wants_gradient_) bytes += kernels::ByteSize(whole_.gradient_type, count);
  if (wants_losses()) bytes += ByteSize(wire::Field::kLogits, count);
  return bytes;
}

v1::StreamLossSummary StreamPlan::Summarize(
    const kernels::Totals& totals) const {
  v1::StreamLossSummary summary;
  const double normalizer = kernels::NormalizerOf(whole_, totals);
  summary.set_loss(kernels::LossOf(whole_, totals, normalizer));
  summary.set_normalizer(normalizer);
  summary.set_valid_count(static_cast<int64_t>(totals.valid_count));
  summary.set_nan_count(static_cast<int64_t>(totals.nan_count));
  if (deferred_) {
    summary.set_gradient_scale(kernels::GradientScale(whole_, normalizer));
  }
  summary.set_request_id(header_.request_id());
  return summary;
}

}  // namespace lossd::request
