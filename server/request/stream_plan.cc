#include "server/request/stream_plan.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "server/base/status_macros.h"
#include "server/request/broadcasting.h"
#include "server/request/format.h"
#include "server/request/ones.h"
#include "server/request/spec.h"
#include "server/request/tensor_roles.h"

namespace lossd::request {

using wire::Field;

namespace {

// Checks the type of derivatives that the client scales. They are those of the
// plain sum, which a type of a smaller range than float32's may round to 0 or
// beyond its largest number although the results have a place in it.
absl::Status CheckUnscaledType(kernels::ElementType type,
                               v1::Normalizer normalizer) {
  if (!IsFloat8(type) && type != kernels::ElementType::kFloat16) {
    return absl::OkStatus();
  }
  const absl::string_view name = View(kernels::Name(type));
  return absl::InvalidArgumentError(absl::StrCat(
      "header.spec.gradient_dtype: ", name, " with ",
      v1::Normalizer_Name(normalizer),
      ", a count that only the end of the stream knows, and ", name,
      " cannot hold what is scaled afterwards; ask for float32, or give the "
      "count in header.declared_normalizer"));
}

}  // namespace

absl::Status StreamPlan::Read(v1::StreamLossHeader header) {
  header_ = std::move(header);
  absl::StatusOr<kernels::LossOptions> options = ReadSpec(header_.spec());
  if (!options.ok()) return options.status();
  whole_.options = *options;
  absl::StatusOr<CountedShape> shape =
      ReadShape("header", ".shape", header_.shape());
  if (!shape.ok()) return shape.status();
  shape_ = *std::move(shape);
  targets_dims_ = dims();
  whole_.element_count = element_count();
  if (!dims().empty()) {
    whole_.shape.rank = 1;
    whole_.shape.dims[0] = dims()[0];
  }
  if (has_rows()) {
    absl::StatusOr<uint64_t> elements = RowElements(shape_);
    if (!elements.ok()) return elements.status();
    whole_.row_elements = *elements;
  }
  RETURN_IF_ERROR(ReadTensors());
  RETURN_IF_ERROR(ReadResults());
  if (has_rows()) RETURN_IF_ERROR(CheckRows());
  absl::StatusOr<Scaling> scaling = ReadScaling();
  if (!scaling.ok()) return scaling.status();
  scaling_ = *scaling;
  const bool has_derivatives = wants_gradient_ || wants_second_derivative_;
  if (!scaling_.deferred() || !has_derivatives || element_count() == 0) {
    return absl::OkStatus();
  }
  return CheckUnscaledType(whole_.gradient_type, header_.spec().normalizer());
}

absl::Status StreamPlan::ReadResults() {
  const v1::LossSpec& spec = header_.spec();
  const kernels::ElementType logits = sources_[Field::kLogits].type;
  wants_gradient_ = spec.gradient() != v1::GRADIENT_MODE_OMIT;
  wants_second_derivative_ =
      spec.second_derivative() == v1::SECOND_DERIVATIVE_MODE_RETURN;
  absl::StatusOr<kernels::ElementType> type = ReadGradientType(spec, logits);
  if (!type.ok()) return type.status();
  whole_.gradient_type = *type;
  type = ReadLossesType(spec, logits);
  if (!type.ok()) return type.status();
  whole_.losses_type = *type;
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadTensors() {
  RETURN_IF_ERROR(
      ReadType("logits_dtype", header_.logits_dtype(), Field::kLogits));
  RETURN_IF_ERROR(CheckLogitsType(sources_[Field::kLogits].type));
  RETURN_IF_ERROR(header_.has_targets() ? ReadOnesTargets()
                                        : ReadTargetsInChunks());
  RETURN_IF_ERROR(CheckIgnoreTarget(
      whole_.options.ignore_target,
      streamed(Field::kTargets) ? std::optional(sources_[Field::kTargets].type)
                                : std::nullopt));
  RETURN_IF_ERROR(
      ReadOperand(Field::kWeights, header_.weights_dtype(),
                  header_.has_weights() ? &header_.weights() : nullptr));
  RETURN_IF_ERROR(
      ReadOperand(Field::kPosWeight, header_.pos_weight_dtype(),
                  header_.has_pos_weight() ? &header_.pos_weight() : nullptr));
  RETURN_IF_ERROR(
      ReadOperand(Field::kUpstreamGradient, header_.upstream_gradient_dtype(),
                  header_.has_upstream_gradient() ? &header_.upstream_gradient()
                                                  : nullptr));
  return ReadUpstream();
}

absl::Status StreamPlan::ReadType(absl::string_view path, v1::DataType dtype,
                                  Field field) {
  const std::optional<kernels::ElementType> type = FromProto(dtype);
  if (!type.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat("header.", path, ": ", static_cast<int>(dtype),
                     " is not a value of DataType"));
  }
  sources_[field].type = *type;
  sources_[field].streamed = true;
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadOnesTargets() {
  CheckedTensor& targets = sources_[Field::kTargets].whole;
  if (!header_.targets().has_ones() && !header_.targets().has_identity()) {
    return absl::InvalidArgumentError(
        "header.targets: only ones and identity are sent whole; send data in "
        "chunks");
  }
  SharedTensors none;
  RETURN_IF_ERROR(
      ReadTensor(Field::kTargets, header_.targets(), {}, &none, &targets));
  if (targets.has_shape) {
    RETURN_IF_ERROR(CheckTargetsShape("header.targets.shape", targets.shape,
                                      shape_,
                                      header_.spec().target_shape_rule()));
  }
  absl::StatusOr<kernels::Ones> ones =
      ReadOnes(header_.targets(),
               targets.has_shape ? targets.shape.dims : dims(), &one_indices_);
  if (!ones.ok()) return ones.status();
  whole_.ones = *ones;
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadTargetsInChunks() {
  RETURN_IF_ERROR(
      ReadType("targets_dtype", header_.targets_dtype(), Field::kTargets));
  if (header_.targets_shape().empty()) return absl::OkStatus();
  absl::StatusOr<CountedShape> shape =
      ReadShape("header", ".targets_shape", header_.targets_shape());
  if (!shape.ok()) return shape.status();
  RETURN_IF_ERROR(CheckTargetsShape("header.targets_shape", *shape, shape_,
                                    header_.spec().target_shape_rule()));
  targets_dims_ = std::move(shape->dims);
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadOperand(Field field, v1::DataType dtype,
                                     const v1::Tensor* whole) {
  const absl::string_view name = Name(field);
  const bool in_chunks = dtype != v1::DATA_TYPE_UNSPECIFIED;
  if (whole == nullptr) {
    if (!in_chunks) return absl::OkStatus();
    RETURN_IF_ERROR(ReadType(absl::StrCat(name, "_dtype"), dtype, field));
    return CheckOperandType(field, sources_[field].type);
  }
  if (in_chunks) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header.", name, ": beside ", name, "_dtype; send one of the two"));
  }
  return ReadWhole(field, *whole);
}

absl::Status StreamPlan::ReadWhole(Field field, const v1::Tensor& tensor) {
  if (tensor.has_shared_memory()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header.", Name(field), ".shared_memory: a stream sends its tensors"));
  }
  Source& source = sources_[field];
  CheckedTensor& whole = source.whole;
  // The bytes stay where they are in the header's message.
  whole.piece = std::as_bytes(std::span(tensor.data()));
  const size_t pieces = tensor.data().empty() ? 0 : 1;
  SharedTensors none;
  RETURN_IF_ERROR(ReadTensor(field, tensor, std::span(&whole.piece, pieces),
                             &none, &whole));
  source.type = whole.tensor.type;
  if (!whole.present) return absl::OkStatus();
  RETURN_IF_ERROR(CheckOperandType(field, source.type));
  const bool is_upstream = field == Field::kUpstreamGradient;
  // An upstream gradient of one element may have any rank.
  if (is_upstream && whole.shape.count == 1) return absl::OkStatus();
  absl::StatusOr<Dims> strides =
      is_upstream
          ? UpstreamStrides(whole.shape, dims(), whole_.options.reduction)
          : BroadcastStrides(field, whole.shape.dims, dims());
  if (!strides.ok()) return strides.status();
  source.strides = *std::move(strides);
  return absl::OkStatus();
}

absl::Status StreamPlan::ReadUpstream() {
  Source& upstream = sources_[Field::kUpstreamGradient];
  const bool has_short_rows =
      whole_.options.reduction == kernels::Reduction::kRows &&
      whole_.row_elements <= 1;
  // Rows of one element have as many losses as elements.
  if (upstream.streamed && !wants_losses() && !has_short_rows) {
    return absl::InvalidArgumentError(
        "header.upstream_gradient_dtype: only losses that are not reduced "
        "have an upstream gradient for each element; send it in "
        "header.upstream_gradient");
  }
  CheckedTensor& whole = upstream.whole;
  if (!whole.present) return absl::OkStatus();
  if (whole.shape.count == 1) {
    whole_.upstream_scalar = kernels::ElementAt(whole.tensor, 0);
    whole.present = false;
    return CheckUpstreamScalar(whole_.upstream_scalar, whole_.options);
  }
  return absl::OkStatus();
}

absl::StatusOr<Scaling> StreamPlan::ReadScaling() const {
  const kernels::LossOptions& options = whole_.options;
  if (!kernels::NeedsCounts(options)) {
    if (header_.has_declared_normalizer()) {
      return absl::InvalidArgumentError(
          "header.declared_normalizer: has no effect; it is for normalizers "
          "that depend on the data");
    }
    return Scaling{.known = kernels::KnownDivisor(whole_)};
  }
  if (header_.has_declared_normalizer()) {
    const double declared = header_.declared_normalizer();
    if (!(declared > 0) || std::isinf(declared)) {
      return absl::InvalidArgumentError(
          absl::StrCat("header.declared_normalizer: ", NumberText(declared),
                       " is not greater than 0 and finite"));
    }
    return Scaling{.declared = declared};
  }
  const bool each_counts_one =
      !options.ignore_target &&
      (!has_weights() || options.normalizer == kernels::Normalizer::kValid);
  if (each_counts_one && element_count() > 0) {
    return Scaling{.known = static_cast<double>(element_count())};
  }
  return Scaling{};
}

// The gradient of a row is sent before the last element has arrived, so its
// divisor must not depend on that.
absl::Status StreamPlan::CheckRows() const {
  const v1::LossSpec& spec = header_.spec();
  const kernels::Normalizer normalizer = whole_.options.normalizer;
  const bool by_weights = normalizer == kernels::Normalizer::kNonzeroWeights ||
                          normalizer == kernels::Normalizer::kWeightSum;
  const bool by_targets =
      by_weights || normalizer == kernels::Normalizer::kValid;
  const bool ignores = spec.has_ignore_target();
  if ((by_targets && ignores) || (by_weights && has_weights())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "header.spec.normalizer: ", v1::Normalizer_Name(spec.normalizer()),
        " with ", v1::Reduction_Name(spec.reduction()),
        " counts the elements of each row, and a stream sends a row's gradient "
        "before the row is whole; send the tensors in one message"));
  }
  if (!kernels::NeedsRowCounts(whole_)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "header.spec.ignore_target: ", spec.ignore_target(), " with ",
      v1::Reduction_Name(spec.reduction()),
      ", which divides by the rows that have other targets, and a stream sends "
      "a gradient before it has seen all rows; send the tensors in one "
      "message"));
}

FieldShapes StreamPlan::shapes() const {
  FieldShapes shapes;
  for (const Field field : wire::kAllFields) {
    const Source& source = sources_[field];
    shapes[field] = source.streamed ? dims() : source.whole.shape.dims;
  }
  shapes[Field::kTargets] = targets_dims_;
  return shapes;
}

bool StreamPlan::has_weights() const {
  const Source& weights = sources_[Field::kWeights];
  return weights.streamed || weights.whole.present;
}

uint64_t StreamPlan::ElementsIn(Field field, uint64_t bytes) const {
  if (sources_[field].type == kernels::ElementType::kBit) {
    return std::min(8 * bytes, element_count());
  }
  return std::min(bytes / ByteSize(field, 1), element_count());
}

std::string StreamPlan::Describe(Field field) const {
  return absl::StrCat(View(kernels::Name(sources_[field].type)), " of shape ",
                      ShapeText(dims()));
}

uint64_t StreamPlan::header_bytes() const {
  uint64_t bytes =
      header_.SpaceUsedLong() + one_indices_.capacity() * sizeof(uint64_t);
  for (const Source& source : sources_) bytes += source.whole.converted.size();
  return bytes;
}

uint64_t StreamPlan::ArrivingBytes(uint64_t count) const {
  uint64_t bytes = 0;
  for (const Field field : wire::kAllFields) {
    if (streamed(field)) bytes += ByteSize(field, count);
  }
  return bytes;
}

uint64_t StreamPlan::MadeBytes(uint64_t count) const {
  uint64_t bytes = 0;
  for (const Source& source : sources_) {
    if (source.expands()) bytes += kernels::ByteSize(source.type, count);
  }
  const uint64_t derivatives =
      uint64_t{wants_gradient_} + wants_second_derivative_;
  bytes += derivatives * kernels::ByteSize(whole_.gradient_type, count);
  if (wants_losses()) bytes += kernels::ByteSize(whole_.losses_type, count);
  if (has_rows()) {
    // A window also has a part of the row before it and of the one after it.
    const uint64_t rows =
        count / std::max<uint64_t>(1, whole_.row_elements) + 2;
    const uint64_t pieces = rows + count / kernels::kBlockElements + 1;
    bytes +=
        pieces * sizeof(double) + kernels::ByteSize(whole_.losses_type, rows);
  }
  return bytes;
}

v1::StreamLossSummary StreamPlan::Summarize(
    const kernels::Totals& of_all, const kernels::MeanOfRows& mean) const {
  v1::StreamLossSummary summary;
  kernels::Totals totals = of_all;
  double normalizer = 1;
  if (whole_.options.reduction == kernels::Reduction::kMeanOfRows) {
    totals.loss_sum = mean.sum();
    normalizer = static_cast<double>(std::max<uint64_t>(1, mean.rows()));
  } else if (!has_rows()) {
    normalizer = scaling_.deferred() ? kernels::NormalizerOf(whole_, totals)
                                     : scaling_.normalizer();
  }
  summary.set_loss(kernels::LossOf(whole_, totals, normalizer));
  summary.set_normalizer(normalizer);
  summary.set_valid_count(static_cast<int64_t>(totals.valid_count));
  summary.set_nan_count(static_cast<int64_t>(totals.nan_count));
  if (scaling_.deferred() && (wants_gradient_ || wants_second_derivative_)) {
    summary.set_gradient_scale(kernels::GradientScale(whole_, normalizer));
  }
  summary.set_request_id(header_.request_id());
  return summary;
}

}  // namespace lossd::request
