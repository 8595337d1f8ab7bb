// The part of StreamPlan that makes windows.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/request/broadcast_copy.h"
#include "server/request/stream_plan.h"

namespace lossd::request {
namespace {

absl::Status TakeBuffer(uint64_t bytes, BufferPool& pool, Buffer* buffer) {
  if (buffer->size() != bytes) *buffer = pool.Take(bytes);
  if (buffer->size() == bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the server has no memory left for a window of ", bytes, " bytes"));
}

}  // namespace

absl::Status StreamPlan::MakeWindow(uint64_t first, uint64_t count,
                                    BufferPool& pool, WindowMemory* memory,
                                    kernels::Segment* segment) const {
  *segment = pattern_;
  segment->element_count = count;
  segment->shape.dims[0] = count;
  PointAt(wire::Field::kLogits, memory, &segment->logits);
  if (streamed(wire::Field::kTargets)) {
    PointAt(wire::Field::kTargets, memory, &segment->targets);
  } else {
    segment->ones = OnesWithin(first, count, &memory->ones);
  }
  const struct {
    wire::Field field;
    kernels::Operand* operand;
  } operands[] = {{wire::Field::kWeights, &segment->weights},
                  {wire::Field::kPosWeight, &segment->pos_weight},
                  {wire::Field::kUpstreamGradient, &segment->upstream}};
  for (const auto& [field, operand] : operands) {
    absl::Status s = MakeOperand(field, first, count, pool, memory, operand);
    if (!s.ok()) return s;
  }
  return MakeResults(count, pool, memory, segment);
}

// Whatever the tensor's shape is, a window has one dimension; an operand of one
// element is repeated.
absl::Status StreamPlan::MakeOperand(wire::Field field, uint64_t first,
                                     uint64_t count, BufferPool& pool,
                                     WindowMemory* memory,
                                     kernels::Operand* operand) const {
  const Source& source = of(field);
  if (source.expands()) {
    if (absl::Status s = Expand(field, first, count, pool, memory); !s.ok())
      return s;
  }
  if (source.streamed || source.expands()) {
    PointAt(field, memory, &operand->tensor);
    operand->strides[0] = 1;
  } else if (source.whole.present) {
    operand->tensor = source.whole.tensor;
    operand->strides[0] = 0;
  }
  return absl::OkStatus();
}

absl::Status StreamPlan::MakeResults(uint64_t count, BufferPool& pool,
                                     WindowMemory* memory,
                                     kernels::Segment* segment) const {
  if (wants_gradient_) {
    const uint64_t bytes = kernels::ByteSize(whole_.gradient_type, count);
    if (absl::Status s = TakeBuffer(bytes, pool, &memory->gradient); !s.ok())
      return s;
    segment->gradient = memory->gradient.data();
  }
  if (wants_losses()) {
    const uint64_t bytes = ByteSize(wire::Field::kLogits, count);
    if (absl::Status s = TakeBuffer(bytes, pool, &memory->losses); !s.ok())
      return s;
    segment->losses = memory->losses.data();
  }
  return absl::OkStatus();
}

void StreamPlan::PointAt(wire::Field field, WindowMemory* memory,
                         kernels::Tensor* tensor) const {
  const size_t index = static_cast<size_t>(field);
  tensor->type = of(field).type;
  if (!streamed(field)) {
    tensor->pieces = std::span(&memory->expanded_piece[index], 1);
    return;
  }
  std::vector<kernels::Piece>& pieces = memory->pieces[index];
  pieces.clear();
  for (const grpc::Slice& slice : memory->slices[index]) {
    pieces.push_back(std::as_bytes(std::span(slice.begin(), slice.size())));
  }
  tensor->pieces = pieces;
}

absl::Status StreamPlan::Expand(wire::Field field, uint64_t first,
                                uint64_t count, BufferPool& pool,
                                WindowMemory* memory) const {
  const size_t index = static_cast<size_t>(field);
  const Source& source = of(field);
  Buffer& buffer = memory->expanded[index];
  const uint64_t bytes = kernels::ByteSize(source.type, count);
  if (absl::Status s = TakeBuffer(bytes, pool, &buffer); !s.ok()) return s;
  CopyBroadcast(dims_, source.strides, kernels::ByteSize(source.type, 1),
                source.whole.tensor.pieces[0].data(), first, count,
                buffer.data());
  memory->expanded_piece[index] = kernels::Piece(buffer.data(), buffer.size());
  return absl::OkStatus();
}

kernels::Ones StreamPlan::OnesWithin(uint64_t first, uint64_t count,
                                     std::vector<uint64_t>* indices) const {
  const kernels::Ones& ones = whole_.ones;
  kernels::Ones within;
  indices->clear();
  if (!ones.indices.empty()) {
    const auto from =
        std::lower_bound(ones.indices.begin(), ones.indices.end(), first);
    const auto to = std::lower_bound(from, ones.indices.end(), first + count);
    for (auto it = from; it != to; ++it) indices->push_back(*it - first);
    within.indices = *indices;
    return within;
  }
  // Of the progression, those from number `skipped` on and below the end.
  const uint64_t skipped =
      first <= ones.first
          ? 0
          : (first - ones.first + ones.stride - 1) / ones.stride;
  if (skipped >= ones.count) return within;
  const uint64_t next = ones.first + skipped * ones.stride;
  if (next >= first + count) return within;
  within.first = next - first;
  within.stride = ones.stride;
  within.count = std::min(ones.count - skipped,
                          (first + count - 1 - next) / ones.stride + 1);
  return within;
}

}  // namespace lossd::request
