#include "server/request/window_maker.h"

#include <algorithm>
#include <span>

#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"
#include "server/request/broadcast_copy.h"

namespace lossd::request {
namespace {

using wire::Field;

// Makes `buffer` one of `bytes` bytes.
absl::Status TakeBuffer(uint64_t bytes, BufferPool& pool, Buffer* buffer) {
  if (buffer->size() != bytes) *buffer = pool.Take(bytes);
  if (buffer->size() == bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the server has no memory left for a window of ", bytes, " bytes"));
}

// Returns those of the tensor's ones that lie in the window, counted from its
// first element. `indices` is the memory of the result.
kernels::Ones OnesWithin(const kernels::Ones& ones, uint64_t first,
                         uint64_t count, std::vector<uint64_t>* indices) {
  indices->clear();
  if (!ones.indices.empty()) {
    const auto from = std::ranges::lower_bound(ones.indices, first);
    const auto to = std::lower_bound(from, ones.indices.end(), first + count);
    for (auto it = from; it != to; ++it) indices->push_back(*it - first);
    return {.indices = *indices};
  }
  // Members of the progression before the window.
  const uint64_t skipped =
      first <= ones.first
          ? 0
          : (first - ones.first + ones.stride - 1) / ones.stride;
  if (skipped >= ones.count) return {};
  const uint64_t next = ones.first + skipped * ones.stride;
  if (next >= first + count) return {};
  return {.first = next - first,
          .stride = ones.stride,
          .count = std::min(ones.count - skipped,
                            (first + count - 1 - next) / ones.stride + 1)};
}

}  // namespace

absl::StatusOr<kernels::Segment> WindowMaker::Make(uint64_t first,
                                                   uint64_t count,
                                                   WindowMemory* memory) const {
  kernels::Segment segment = WithoutTensors(count);
  if (plan_.has_rows()) segment.first_in_row = first % segment.row_elements;
  segment.logits = TensorOf(Field::kLogits, memory);
  if (plan_.streamed(Field::kTargets)) {
    segment.targets = TensorOf(Field::kTargets, memory);
  } else {
    segment.ones = OnesWithin(plan_.whole().ones, first, count, &memory->ones);
  }
  const struct {
    Field field;
    kernels::Operand* operand;
  } operands[] = {{Field::kWeights, &segment.weights},
                  {Field::kPosWeight, &segment.pos_weight},
                  {Field::kUpstreamGradient, &segment.upstream}};
  for (const auto& [field, operand] : operands) {
    absl::StatusOr<kernels::Operand> made =
        MakeOperand(field, first, count, memory);
    if (!made.ok()) return made.status();
    *operand = *made;
  }
  RETURN_IF_ERROR(MakeResults(memory, &segment));
  return segment;
}

// The counts of a window are not those of the tensor, so its normalizer is
// given. Where the tensor's is known only at the end, the window's gradient is
// that of the plain sum, and the client scales it.
kernels::Segment WindowMaker::WithoutTensors(uint64_t count) const {
  const kernels::Segment& whole = plan_.whole();
  kernels::Segment segment;
  segment.options = whole.options;
  segment.options.normalizer = kernels::Normalizer::kCaller;
  if (plan_.scaling().deferred()) {
    segment.options.normalizer_value = 1;
    segment.options.loss_weight = 1;
    segment.upstream_scalar = 1;
  } else {
    segment.options.normalizer_value = plan_.scaling().normalizer();
    segment.upstream_scalar = whole.upstream_scalar;
  }
  // The divisor includes the number of rows.
  if (plan_.has_rows()) segment.options.reduction = kernels::Reduction::kRows;
  segment.row_elements = whole.row_elements;
  segment.gradient_type = whole.gradient_type;
  segment.losses_type = whole.losses_type;
  segment.element_count = count;
  segment.shape.rank = 1;
  segment.shape.dims[0] = count;
  return segment;
}

absl::StatusOr<kernels::Operand> WindowMaker::MakeOperand(
    Field field, uint64_t first, uint64_t count, WindowMemory* memory) const {
  const StreamPlan::Source& source = plan_.source(field);
  kernels::Operand operand;
  if (source.expands()) RETURN_IF_ERROR(Expand(field, first, count, memory));
  if (source.streamed || source.expands()) {
    operand.tensor = TensorOf(field, memory);
    operand.strides[0] = 1;
  } else if (source.whole.present) {  // one element, which all elements read
    operand.tensor = source.whole.tensor;
  }
  return operand;
}

absl::Status WindowMaker::MakeResults(WindowMemory* memory,
                                      kernels::Segment* segment) const {
  const uint64_t count = segment->element_count;
  if (plan_.wants_gradient()) {
    RETURN_IF_ERROR(TakeBuffer(kernels::ByteSize(segment->gradient_type, count),
                               pool_, &memory->gradient));
    segment->gradient = memory->gradient.data();
  }
  if (plan_.wants_second_derivative()) {
    RETURN_IF_ERROR(TakeBuffer(kernels::ByteSize(segment->gradient_type, count),
                               pool_, &memory->second_derivative));
    segment->second_derivative = memory->second_derivative.data();
  }
  if (plan_.wants_losses()) {
    RETURN_IF_ERROR(TakeBuffer(kernels::ByteSize(segment->losses_type, count),
                               pool_, &memory->losses));
    segment->losses = memory->losses.data();
  }
  return absl::OkStatus();
}

kernels::Tensor WindowMaker::TensorOf(Field field, WindowMemory* memory) const {
  kernels::Tensor tensor{.type = plan_.source(field).type};
  if (!plan_.streamed(field)) {
    tensor.pieces = std::span(&memory->expanded_piece[field], 1);
    return tensor;
  }
  std::vector<kernels::Piece>& pieces = memory->pieces[field];
  pieces.clear();
  for (const grpc::Slice& slice : memory->slices[field]) {
    pieces.push_back(std::as_bytes(std::span(slice.begin(), slice.size())));
  }
  tensor.pieces = pieces;
  return tensor;
}

absl::Status WindowMaker::Expand(Field field, uint64_t first, uint64_t count,
                                 WindowMemory* memory) const {
  const StreamPlan::Source& source = plan_.source(field);
  Buffer& buffer = memory->expanded[field];
  const uint64_t bytes = kernels::ByteSize(source.type, count);
  RETURN_IF_ERROR(TakeBuffer(bytes, pool_, &buffer));
  CopyBroadcast(plan_.dims(), source.strides, kernels::ByteSize(source.type, 1),
                source.whole.tensor.pieces[0].data(), first, count,
                buffer.data());
  memory->expanded_piece[field] = kernels::Piece(buffer.data(), buffer.size());
  return absl::OkStatus();
}

}  // namespace lossd::request
