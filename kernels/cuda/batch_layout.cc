#include "kernels/cuda/batch_layout.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

namespace lossd::kernels::cuda {
namespace {

uint64_t AddressOf(const std::byte* place) {
  return reinterpret_cast<uintptr_t>(place);
}

uint64_t PieceBytes(const Tensor& tensor) {
  uint64_t bytes = 0;
  for (const Piece& piece : tensor.pieces) bytes += piece.size();
  return bytes;
}

uint64_t GradientBytes(const Segment& segment) {
  return ByteSize(segment.gradient_type, segment.element_count);
}

uint64_t LossesBytes(const Segment& segment) {
  return ByteSize(segment.logits.type, segment.element_count);
}

void CopyPieces(const Tensor& tensor, std::byte* input, uint64_t offset) {
  if (tensor.on_device) return;
  std::byte* to = input + offset;
  for (const Piece& piece : tensor.pieces) {
    if (piece.empty()) continue;
    std::memcpy(to, piece.data(), piece.size());
    to += piece.size();
  }
}

// Gives out aligned places one after the other.
class Places {
 public:
  explicit Places(uint64_t taken) : end_(taken) {}
  uint64_t Take(uint64_t bytes) {
    const uint64_t place =
        (end_ + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
    end_ = place + bytes;
    return place;
  }
  uint64_t end() const { return end_; }

 private:
  uint64_t end_;
};

// Where a tensor goes: among the input, or it stays at its address.
uint64_t PlaceOf(const Tensor& tensor, Places& input) {
  return tensor.on_device ? AddressOf(tensor.pieces.front().data())
                          : input.Take(PieceBytes(tensor));
}

// An address becomes a distance.
void MakeRelative(const Tensor& tensor, const std::byte* input,
                  uint64_t& offset) {
  if (tensor.on_device) offset -= AddressOf(input);
}

// A segment as the kernels of `batch` read it.
PackedSegment Relative(PackedSegment packed, const Segment& segment,
                       const PackedBatch& batch) {
  if (segment.device == kHost) return packed;
  MakeRelative(segment.logits, batch.input, packed.logits);
  MakeRelative(segment.targets, batch.input, packed.targets);
  MakeRelative(segment.weights.tensor, batch.input, packed.weights.offset);
  MakeRelative(segment.pos_weight.tensor, batch.input,
               packed.pos_weight.offset);
  MakeRelative(segment.upstream.tensor, batch.input, packed.upstream.offset);
  // Both are aligned to more than a byte, so this is never kNoIndex.
  if (segment.gradient_on_device) packed.gradient -= AddressOf(batch.output);
  return packed;
}

// Dense and scalar operands need no index arithmetic per element; strides of
// dimensions of one element say nothing.
Access AccessOf(const Operand& operand, const Shape& shape) {
  if (!operand.present()) return Access::kAbsent;
  bool scalar = true;
  bool full = true;
  uint64_t dense = 1;
  for (int k = shape.rank - 1; k >= 0; --k) {
    const size_t at = static_cast<size_t>(k);
    if (shape.dims[at] == 1) continue;
    scalar = scalar && operand.strides[at] == 0;
    full = full && operand.strides[at] == dense;
    dense *= shape.dims[at];
  }
  if (scalar) return Access::kScalar;
  return full ? Access::kFull : Access::kStrided;
}

PackedOperand PackOperand(const Operand& operand, const Shape& shape,
                          Places& input) {
  PackedOperand packed;
  packed.access = AccessOf(operand, shape);
  if (packed.access == Access::kAbsent) return packed;
  packed.type = operand.tensor.type;
  packed.offset = PlaceOf(operand.tensor, input);
  std::copy_n(operand.strides.begin(), kMaxRank, packed.strides);
  return packed;
}

void PackTargets(const Segment& segment, Places& input, PackedSegment& packed) {
  const LossOptions& options = segment.options;
  packed.ignores = options.ignore_target.has_value();
  packed.ignore_target = options.ignore_target.value_or(0);
  packed.targets_in_unit_interval = options.targets_in_unit_interval;
  if (segment.targets.present()) {
    packed.targets_type = segment.targets.type;
    packed.targets = PlaceOf(segment.targets, input);
    if (packed.ignores && packed.targets_type == ElementType::kInt64) {
      const std::optional<int64_t> whole = AsInt64(packed.ignore_target);
      packed.ignores = whole.has_value();
      packed.ignore_integer = whole.value_or(0);
    }
    return;
  }
  const Ones& ones = segment.ones;
  const bool listed = !ones.indices.empty();
  packed.target_form =
      listed ? TargetForm::kListedOnes : TargetForm::kSteppedOnes;
  packed.ones_count = listed ? ones.indices.size() : ones.count;
  packed.ones_first = ones.first;
  packed.ones_stride = ones.stride;
  if (listed) packed.targets = input.Take(ones.indices.size_bytes());
}

PackedSegment PackSegment(const BatchItem& item, Places& input,
                          Places& output) {
  const Segment& segment = *item.segment;
  const LossOptions& options = segment.options;
  PackedSegment packed;
  packed.element_count = segment.element_count;
  packed.path = PathOf(segment, item.gradient_scale);
  packed.kind = options.kind;
  packed.parameters = ParametersOf(options);
  packed.logits_type = segment.logits.type;
  packed.gradient_type = segment.gradient_type;
  packed.logits = PlaceOf(segment.logits, input);
  PackTargets(segment, input, packed);
  packed.weights = PackOperand(segment.weights, segment.shape, input);
  packed.pos_weight = PackOperand(segment.pos_weight, segment.shape, input);
  packed.upstream = PackOperand(segment.upstream, segment.shape, input);
  if (segment.gradient != nullptr) {
    packed.gradient = segment.gradient_on_device
                          ? AddressOf(segment.gradient)
                          : output.Take(GradientBytes(segment));
  }
  if (segment.losses != nullptr) {
    packed.losses = output.Take(LossesBytes(segment));
  }
  packed.rank = segment.shape.rank;
  std::copy_n(segment.shape.dims.begin(), kMaxRank, packed.dims);
  packed.label_smoothing = options.label_smoothing;
  packed.loss_weight = options.loss_weight;
  packed.gradient_scale = item.gradient_scale;
  return packed;
}

}  // namespace

BatchLayout::BatchLayout(std::span<const BatchItem> items) {
  for (const BatchItem& item : items) {
    segments_.push_back(item.segment);
    block_count_ += BlockCount(*item.segment);
  }
  Places input(items.size() * sizeof(PackedSegment));
  block_segments_ = input.Take(block_count_ * sizeof(uint32_t));
  table_bytes_ = input.end();
  Places output(block_count_ * sizeof(BlockPartial));
  for (const BatchItem& item : items) {
    packed_.push_back(PackSegment(item, input, output));
  }
  PlaceBlocks();
  input_bytes_ = input.end();
  output_bytes_ = output.end();
}

void BatchLayout::PlaceBlocks() {
  order_.resize(packed_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::stable_sort(order_.begin(), order_.end(), [this](size_t a, size_t b) {
    return packed_[a].path < packed_[b].path;
  });
  uint64_t first_block = 0;
  for (const size_t k : order_) {
    BlockRange& range = paths_[static_cast<size_t>(packed_[k].path)];
    if (range.count == 0) range.first = first_block;
    packed_[k].first_block = first_block;
    range.count += BlockCount(*segments_[k]);
    first_block += BlockCount(*segments_[k]);
  }
}

void BatchLayout::StageTables(const PackedBatch& batch,
                              std::byte* input) const {
  for (size_t k = 0; k < packed_.size(); ++k) {
    const PackedSegment packed = Relative(packed_[k], *segments_[k], batch);
    std::memcpy(input + k * sizeof(packed), &packed, sizeof(packed));
  }
  std::byte* table = input + block_segments_;
  for (const size_t k : order_) {
    const uint32_t index = static_cast<uint32_t>(k);
    for (uint64_t block = BlockCount(*segments_[k]); block > 0; --block) {
      std::memcpy(table, &index, sizeof(index));
      table += sizeof(index);
    }
  }
}

void BatchLayout::Stage(const PackedBatch& batch, std::byte* input) const {
  StageTables(batch, input);
  for (size_t k = 0; k < packed_.size(); ++k) {
    const Segment& segment = *segments_[k];
    const PackedSegment& packed = packed_[k];
    CopyPieces(segment.logits, input, packed.logits);
    CopyPieces(segment.targets, input, packed.targets);
    if (packed.target_form == TargetForm::kListedOnes) {
      const auto ones = std::as_bytes(segment.ones.indices);
      std::memcpy(input + packed.targets, ones.data(), ones.size());
    }
    CopyPieces(segment.weights.tensor, input, packed.weights.offset);
    CopyPieces(segment.pos_weight.tensor, input, packed.pos_weight.offset);
    CopyPieces(segment.upstream.tensor, input, packed.upstream.offset);
  }
}

PackedBatch BatchLayout::At(const std::byte* input, std::byte* output) const {
  PackedBatch batch = {.input = input,
                       .output = output,
                       .block_segments = block_segments_,
                       .block_count = block_count_,
                       .paths = {}};
  std::copy(std::begin(paths_), std::end(paths_), batch.paths);
  return batch;
}

std::span<const BlockPartial> BatchLayout::Partials(
    size_t index, const std::byte* output) const {
  const auto* partials = reinterpret_cast<const BlockPartial*>(output);
  return {partials + packed_[index].first_block, BlockCount(*segments_[index])};
}

void BatchLayout::CopyResults(size_t index, const std::byte* output) const {
  const Segment& segment = *segments_[index];
  const PackedSegment& packed = packed_[index];
  if (segment.element_count == 0) return;
  if (segment.gradient != nullptr && !segment.gradient_on_device) {
    std::memcpy(segment.gradient, output + packed.gradient,
                GradientBytes(segment));
  }
  if (segment.losses != nullptr) {
    std::memcpy(segment.losses, output + packed.losses, LossesBytes(segment));
  }
}

}  // namespace lossd::kernels::cuda
