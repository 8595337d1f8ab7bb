#include "kernels/cuda/batch_layout.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <optional>

#include "kernels/cuda/item_range.h"

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

// Gives out aligned places one after the other.
class Places {
 public:
  explicit Places(uint64_t taken) : end_(taken) {}
  uint64_t Take(uint64_t bytes) {
    const uint64_t place = TensorPlace(end_);
    end_ = place + bytes;
    return place;
  }
  // Takes room for some bytes of a tensor. Returns where the tensor's first
  // byte would be.
  uint64_t TakeFor(ByteRange range) { return Take(range.count) - range.first; }
  uint64_t end() const { return end_; }

 private:
  uint64_t end_;
};

// Returns whether the device copies these bytes of a tensor by itself.
bool IsDirect(const Tensor& tensor, ByteRange range) {
  return tensor.pinned && range.count >= kLeastDirectBytes;
}

// A derivative: where the segment has it, and its offset in the packed segment.
struct Derivative {
  std::byte* to;
  bool on_device;
  bool pinned;
  uint64_t PackedSegment::*offset;

  bool IsDirect(ByteRange range) const {
    return to != nullptr && pinned && range.count >= kLeastDirectBytes;
  }
};
std::array<Derivative, 2> DerivativesOf(const Segment& segment) {
  return {{{segment.gradient, segment.gradient_on_device,
            segment.gradient_pinned, &PackedSegment::gradient},
           {segment.second_derivative, segment.second_derivative_on_device,
            segment.second_derivative_pinned, &PackedSegment::second}}};
}

// Returns the place in the input of a tensor, of which the batch holds `range`,
// or the address of one that is already on the device. PlaceDirect() places
// those that the device copies.
uint64_t PlaceOf(const Tensor& tensor, ByteRange range, Places& input) {
  if (tensor.on_device) return AddressOf(tensor.pieces.front().data());
  return IsDirect(tensor, range) ? 0 : input.TakeFor(range);
}

// Turns the address of a tensor on the device into its distance from the input.
void MakeRelative(const Tensor& tensor, const std::byte* input,
                  uint64_t& offset) {
  if (tensor.on_device) offset -= AddressOf(input);
}

// Returns a segment as the kernels of `batch` read it.
PackedSegment Relative(const PackedSegment& at_addresses,
                       const Segment& segment, const PackedBatch& batch) {
  PackedSegment packed = at_addresses;
  if (segment.device == kHost) return packed;
  MakeRelative(segment.logits, batch.input, packed.logits);
  MakeRelative(segment.targets, batch.input, packed.targets);
  MakeRelative(segment.weights.tensor, batch.input, packed.weights.offset);
  MakeRelative(segment.pos_weight.tensor, batch.input,
               packed.pos_weight.offset);
  MakeRelative(segment.upstream.tensor, batch.input, packed.upstream.offset);
  // Derivatives are aligned to 64 bytes, so the distance is never kNoIndex.
  for (const Derivative& derivative : DerivativesOf(segment)) {
    if (derivative.on_device) {
      packed.*derivative.offset -= AddressOf(batch.output);
    }
  }
  return packed;
}

// Dense and scalar operands need no index arithmetic for each element. Strides
// of dimensions of one element have no meaning.
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

// Returns the bytes of an operand that the batch holds.
ByteRange BytesOf(const BatchItem& item, const Operand& operand) {
  return AccessOf(operand, item.segment->shape) == Access::kFull
             ? BytesOf(item, operand.tensor.type)
             : ByteRange{0, PieceBytes(operand.tensor)};
}

PackedOperand PackOperand(const BatchItem& item, const Operand& operand,
                          Places& input) {
  PackedOperand packed;
  packed.access = AccessOf(operand, item.segment->shape);
  if (packed.access == Access::kAbsent) return packed;
  packed.type = operand.tensor.type;
  packed.offset = PlaceOf(operand.tensor, BytesOf(item, operand), input);
  std::copy_n(operand.strides.begin(), kMaxRank, packed.strides);
  return packed;
}

void PackTargets(const BatchItem& item, Places& input, PackedSegment& packed) {
  const Segment& segment = *item.segment;
  const LossOptions& options = segment.options;
  packed.ignores = options.ignore_target.has_value();
  packed.ignore_target = options.ignore_target.value_or(0);
  packed.targets_in_unit_interval = options.targets_in_unit_interval;
  if (segment.targets.present()) {
    packed.targets_type = segment.targets.type;
    packed.targets =
        PlaceOf(segment.targets, BytesOf(item, packed.targets_type), input);
    if (packed.ignores && packed.targets_type == ElementType::kInt64) {
      const std::optional<int64_t> whole = AsInt64(packed.ignore_target);
      packed.ignores = whole.has_value();
      packed.ignore_integer = whole.value_or(0);
    }
    return;
  }
  const Ones& ones = segment.ones;
  packed.ones_first = ones.first;
  packed.ones_stride = ones.stride;
  if (ones.indices.empty()) {
    packed.target_form = TargetForm::kSteppedOnes;
    packed.ones_count = ones.count;
    return;
  }
  const std::span<const uint64_t> listed = OnesOf(item);
  packed.target_form = TargetForm::kListedOnes;
  packed.ones_count = listed.size();
  packed.targets = input.Take(listed.size_bytes());
}

// Places the results. PlaceDirectResults() places those that the device copies.
void PackResults(const BatchItem& item, Places& output, PackedSegment& packed) {
  const Segment& segment = *item.segment;
  packed.gradient_type = segment.gradient_type;
  const ByteRange range = BytesOf(item, packed.gradient_type);
  for (const Derivative& derivative : DerivativesOf(segment)) {
    uint64_t& offset = packed.*derivative.offset;
    if (derivative.on_device) {
      offset = AddressOf(derivative.to);
    } else if (derivative.to != nullptr) {
      offset = derivative.IsDirect(range) ? 0 : output.TakeFor(range);
    }
  }
  packed.losses_type = segment.losses_type;
  if (segment.losses != nullptr) {
    packed.losses = output.TakeFor(BytesOf(item, packed.losses_type));
  }
}

PackedSegment PackSegment(const BatchItem& item, Places& input,
                          Places& output) {
  const Segment& segment = *item.segment;
  const LossOptions& options = segment.options;
  PackedSegment packed;
  packed.end = EndElement(item);
  packed.variant = VariantOf(segment, item.gradient_scale);
  packed.kind = options.kind;
  packed.parameters = ParametersOf(options);
  packed.logits_type = segment.logits.type;
  packed.logits =
      PlaceOf(segment.logits, BytesOf(item, packed.logits_type), input);
  PackTargets(item, input, packed);
  packed.weights = PackOperand(item, segment.weights, input);
  packed.pos_weight = PackOperand(item, segment.pos_weight, input);
  packed.upstream = PackOperand(item, segment.upstream, input);
  PackResults(item, output, packed);
  packed.rank = segment.shape.rank;
  std::copy_n(segment.shape.dims.begin(), kMaxRank, packed.dims);
  packed.label_smoothing = options.label_smoothing;
  packed.label_smoothing_prior = options.label_smoothing_prior;
  packed.loss_weight = options.loss_weight;
  packed.gradient_scale = item.gradient_scale;
  packed.rejects_not_finite = options.reject_nan_logits;
  packed.rejects_negative_weights = options.reject_negative_weights;
  return packed;
}

// Calls `visit(tensor, range, offset)` for each tensor of the input: the bytes
// that the batch holds, and the tensor's offset in `packed`.
template <class Packed, class Visit>
void ForEachTensor(const BatchItem& item, Packed& packed, Visit visit) {
  const Segment& segment = *item.segment;
  const auto operand = [&](const Operand& one, auto& place) {
    visit(one.tensor, BytesOf(item, one), place.offset);
  };
  visit(segment.logits, BytesOf(item, packed.logits_type), packed.logits);
  visit(segment.targets, BytesOf(item, packed.targets_type), packed.targets);
  operand(segment.weights, packed.weights);
  operand(segment.pos_weight, packed.pos_weight);
  operand(segment.upstream, packed.upstream);
}

// Places the tensors that the device copies, and appends their copies.
void PlaceDirect(const BatchItem& item, Places& input, PackedSegment& packed,
                 std::vector<DirectCopy>& copies) {
  ForEachTensor(item, packed,
                [&](const Tensor& tensor, ByteRange range, uint64_t& offset) {
                  if (!IsDirect(tensor, range)) return;
                  offset = input.TakeFor(range);
                  const std::byte* const host = tensor.pieces.front().data();
                  copies.push_back({const_cast<std::byte*>(host) + range.first,
                                    offset + range.first, range.count});
                });
}

// Does this for the derivatives.
void PlaceDirectResults(const BatchItem& item, Places& output,
                        PackedSegment& packed,
                        std::vector<DirectCopy>& copies) {
  const ByteRange range = BytesOf(item, packed.gradient_type);
  for (const Derivative& derivative : DerivativesOf(*item.segment)) {
    if (!derivative.IsDirect(range)) continue;
    uint64_t& offset = packed.*derivative.offset;
    offset = output.TakeFor(range);
    copies.push_back(
        {derivative.to + range.first, offset + range.first, range.count});
  }
}

// Copies an item's results from `output` to the segment's at `results`.
void CopyOut(ByteRange range, const std::byte* output, uint64_t offset,
             std::byte* results) {
  std::memcpy(results + range.first, output + (offset + range.first),
              range.count);
}

}  // namespace

BatchLayout::BatchLayout(std::span<const BatchItem> items)
    : items_(items.begin(), items.end()) {
  for (const BatchItem& item : items) block_count_ += item.blocks.count;
  Places input(items.size() * sizeof(PackedSegment));
  block_segments_ = input.Take(block_count_ * sizeof(uint32_t));
  table_bytes_ = input.end();
  Places output(block_count_ * sizeof(BlockPartial));
  for (const BatchItem& item : items) {
    packed_.push_back(PackSegment(item, input, output));
  }
  staged_input_bytes_ = input.end();
  staged_output_bytes_ = output.end();
  for (size_t k = 0; k < items_.size(); ++k) {
    PlaceDirect(items_[k], input, packed_[k], copies_in_);
    PlaceDirectResults(items_[k], output, packed_[k], copies_out_);
  }
  PlaceBlocks();
  input_bytes_ = input.end();
  output_bytes_ = output.end();
}

bool BatchLayout::lies_on_device() const {
  return std::all_of(items_.begin(), items_.end(), [](const BatchItem& item) {
    return item.segment->device != kHost;
  });
}

void BatchLayout::PlaceBlocks() {
  order_.resize(packed_.size());
  std::iota(order_.begin(), order_.end(), size_t{0});
  std::stable_sort(order_.begin(), order_.end(), [this](size_t a, size_t b) {
    return packed_[a].variant < packed_[b].variant;
  });
  uint64_t first_block = 0;
  for (const size_t k : order_) {
    BlockRange& range =
        variant_blocks_[static_cast<size_t>(packed_[k].variant)];
    if (range.count == 0) range.first = first_block;
    packed_[k].first_block = first_block - items_[k].blocks.first;
    range.count += items_[k].blocks.count;
    first_block += items_[k].blocks.count;
  }
}

void BatchLayout::StageTables(const PackedBatch& batch,
                              std::byte* input) const {
  for (size_t k = 0; k < packed_.size(); ++k) {
    const PackedSegment packed =
        Relative(packed_[k], *items_[k].segment, batch);
    std::memcpy(input + k * sizeof(packed), &packed, sizeof(packed));
  }
  std::byte* table = input + block_segments_;
  for (const size_t k : order_) {
    const uint32_t index = static_cast<uint32_t>(k);
    for (uint64_t block = items_[k].blocks.count; block > 0; --block) {
      std::memcpy(table, &index, sizeof(index));
      table += sizeof(index);
    }
  }
}

void BatchLayout::Stage(const PackedBatch& batch, std::byte* input) const {
  StageTables(batch, input);
  for (size_t k = 0; k < packed_.size(); ++k) StageTensors(k, input);
}

void BatchLayout::StageTensors(size_t index, std::byte* input) const {
  const BatchItem& item = items_[index];
  const PackedSegment& packed = packed_[index];
  ForEachTensor(
      item, packed,
      [input](const Tensor& tensor, ByteRange range, uint64_t offset) {
        if (tensor.on_device || IsDirect(tensor, range)) return;
        CopyBytes(tensor, range, input + (offset + range.first));
      });
  if (packed.target_form == TargetForm::kListedOnes) {
    const auto ones = std::as_bytes(OnesOf(item));
    std::memcpy(input + packed.targets, ones.data(), ones.size());
  }
}

PackedBatch BatchLayout::At(const std::byte* input, std::byte* output) const {
  PackedBatch batch = {.input = input,
                       .output = output,
                       .block_segments = block_segments_,
                       .block_count = block_count_,
                       .variant_blocks = {}};
  std::copy(std::begin(variant_blocks_), std::end(variant_blocks_),
            batch.variant_blocks);
  return batch;
}

std::span<const BlockPartial> BatchLayout::Partials(
    size_t index, const std::byte* output) const {
  const auto* partials = reinterpret_cast<const BlockPartial*>(output);
  const BlockRange blocks = items_[index].blocks;
  return {partials + (packed_[index].first_block + blocks.first), blocks.count};
}

void BatchLayout::CopyResults(size_t index, const std::byte* output) const {
  const BatchItem& item = items_[index];
  const Segment& segment = *item.segment;
  const PackedSegment& packed = packed_[index];
  if (item.blocks.count == 0) return;
  const ByteRange range = BytesOf(item, packed.gradient_type);
  for (const Derivative& derivative : DerivativesOf(segment)) {
    if (derivative.to == nullptr || derivative.on_device ||
        derivative.IsDirect(range)) {
      continue;
    }
    CopyOut(range, output, packed.*derivative.offset, derivative.to);
  }
  if (segment.losses != nullptr) {
    CopyOut(BytesOf(item, packed.losses_type), output, packed.losses,
            segment.losses);
  }
}

}  // namespace lossd::kernels::cuda
