// The layout of a batch in device memory: one input and one output buffer.
//
//   input   [PackedSegment ...] [segment of each block ...] [tensors ...]
//   output  [BlockPartial of each block ...] [derivatives and losses ...]
//
// The input ends with the tensors, and the output with the derivatives, that
// the device copies from and to pinned memory of their owners by itself. The
// parts before them are staged: the host has them in buffers of its own.
//
// Places are offsets, not addresses, so that the host can compute a batch in
// place of a device. Every tensor starts at a multiple of kTensorAlignment, so
// the device reads it in whole vectors whatever the alignment of its pieces.
//
// Tensors and derivatives that are already on the device (Segment::device) stay
// at their address and take no room in either buffer. Their offset is the
// distance from the buffer, modulo 2^64, and the address need only be aligned
// for an element.
#ifndef LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_
#define LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cuda/kernel_variant.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cuda {

inline constexpr uint64_t kTensorAlignment = 256;

// Pinned bytes below this number are staged all the same: asking for a copy of
// their own takes about 5 us, in which a thread stages as much.
inline constexpr uint64_t kLeastDirectBytes = uint64_t{1} << 16;  // D63

// Returns the first place at or after `end` where a tensor may begin.
constexpr uint64_t TensorPlace(uint64_t end) {
  return (end + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
}

// Which element of an operand belongs to element i of the logits.
enum class Access : uint8_t {
  kAbsent,
  kScalar,   // always the first
  kFull,     // element i
  kStrided,  // through the shape and the strides
};

// How a segment's targets are given.
enum class TargetForm : uint8_t {
  kTensor,
  kListedOnes,   // uint64_t indices that rise
  kSteppedOnes,  // first, first + stride, ...
};

// An operand on the device. Plain arrays: device code reads it.
struct PackedOperand {
  uint64_t offset = 0;  // in the input
  ElementType type = ElementType::kFloat32;
  Access access = Access::kAbsent;
  uint64_t strides[kMaxRank] = {};
};

// A kernels::Segment, or some blocks of one, on the device: offsets replace
// pointers. Elements keep their indices in the segment even if the batch lacks
// the first ones: an offset is where element 0 would be, modulo 2^64
// (PlaceIn()). The fields that the fast variants read come first and fill one
// cache line; a segment of a few elements costs a device little more than that.
struct alignas(64) PackedSegment {
  uint64_t end = 0;              // index after its last element
  uint64_t first_block = 0;      // index in the batch of block 0, modulo 2^64
  uint64_t logits = 0;           // offsets in the input
  uint64_t targets = 0;          // unused for kSteppedOnes
  uint64_t gradient = kNoIndex;  // offsets in the output; kNoIndex if not asked
  double gradient_scale = 0;
  uint64_t second = kNoIndex;
  KernelVariant variant = KernelVariant::kExact;
  ElementType logits_type = ElementType::kFloat32;
  ElementType gradient_type = ElementType::kFloat32;  // of both derivatives
  ElementType targets_type = ElementType::kFloat32;
  TargetForm target_form = TargetForm::kTensor;
  bool ignores = false;
  bool targets_in_unit_interval = true;
  LossKind kind = LossKind::kSigmoidCrossEntropy;

  LossParameters parameters;
  uint64_t losses = kNoIndex;  // offset in the output
  ElementType losses_type = ElementType::kFloat32;
  int32_t rank = 0;
  bool rejects_not_finite = true;  // operands; see LossOptions
  bool rejects_negative_weights = false;
  uint64_t dims[kMaxRank] = {};
  PackedOperand weights;
  PackedOperand pos_weight;
  PackedOperand upstream;
  uint64_t ones_count = 0;
  uint64_t ones_first = 0;
  uint64_t ones_stride = 1;
  double ignore_target = 0;
  int64_t ignore_integer = 0;  // ignore_target for int64 targets
  double label_smoothing = 0;
  double label_smoothing_prior = 0;
  double loss_weight = 1;  // multiplies the losses of Reduction::kNone
};

// Consecutive blocks of a batch or of a segment.
struct BlockRange {
  uint64_t first = 0;
  uint64_t count = 0;
};

// A batch at some place in memory, as the kernels take it. The blocks of a
// variant are consecutive, and the variants follow in the order of their enum.
struct PackedBatch {
  const std::byte* input = nullptr;
  std::byte* output = nullptr;
  uint64_t block_segments = 0;  // offset of the table: uint32_t per block
  uint64_t block_count = 0;
  BlockRange variant_blocks[kVariantCount];
};

// Bytes that a device copies between a buffer of its own and pinned memory.
struct DirectCopy {
  std::byte* host;
  uint64_t place;  // in the input or the output
  uint64_t bytes;
};

// Blocks of a segment, and the factor of their gradient. Borrows the segment.
struct BatchItem {
  // An item of all blocks.
  BatchItem(const Segment* of, double scale)
      : BatchItem(of, scale, {0, BlockCount(*of)}) {}
  BatchItem(const Segment* of, double scale, BlockRange some)
      : segment(of), gradient_scale(scale), blocks(some) {}

  const Segment* segment;
  double gradient_scale;
  BlockRange blocks;  // of the segment
};

// The plan of one batch. The batch holds whole broadcast operands, but of each
// tensor with an element for each logit only the elements of its blocks.
// Borrows the segments and owns no tensors. Thread-safe: it does not change.
class BatchLayout {
 public:
  explicit BatchLayout(std::span<const BatchItem> items);

  // The sizes of the buffers on the device, and of their staged parts.
  uint64_t input_bytes() const { return input_bytes_; }
  uint64_t output_bytes() const { return output_bytes_; }
  uint64_t staged_input_bytes() const { return staged_input_bytes_; }
  uint64_t staged_output_bytes() const { return staged_output_bytes_; }
  // The copies that fill the rest of the input before the kernels run, and
  // those that take the rest of the output to its destinations after them.
  std::span<const DirectCopy> copies_in() const { return copies_in_; }
  std::span<const DirectCopy> copies_out() const { return copies_out_; }

  // Returns whether the tensors of every item already lie on the device.
  bool lies_on_device() const;

  // Writes the staged input of `batch`, a result of At(). This is the only copy
  // of the tensors on the host. If no tensor is already on the device the input
  // is the same for every At().
  void Stage(const PackedBatch& batch, std::byte* input) const;

  // Writes the tables before the tensors, table_bytes() in size, for callers
  // that write the tensors themselves.
  uint64_t table_bytes() const { return table_bytes_; }
  void StageTables(const PackedBatch& batch, std::byte* input) const;

  // Returns item `index` as the kernels read it. The offset of a tensor that is
  // already on the device is its address.
  const PackedSegment& packed(size_t index) const { return packed_[index]; }

  // Returns the batch whose buffers are at `input` and `output`.
  PackedBatch At(const std::byte* input, std::byte* output) const;

  // Returns the partials of the blocks of item `index` in a computed and staged
  // output on the host.
  std::span<const BlockPartial> Partials(size_t index,
                                         const std::byte* output) const;
  // Copies the derivatives and losses of item `index` from such an output to
  // the segment's buffers. A derivative on the device, or one that the device
  // copies by itself, is already in its place.
  void CopyResults(size_t index, const std::byte* output) const;

 private:
  void PlaceBlocks();
  void StageTensors(size_t index, std::byte* input) const;

  std::vector<BatchItem> items_;
  std::vector<PackedSegment> packed_;
  std::vector<size_t> order_;  // items by variant, then as given
  BlockRange variant_blocks_[kVariantCount];
  uint64_t block_segments_ = 0;
  uint64_t block_count_ = 0;
  uint64_t table_bytes_ = 0;
  uint64_t staged_input_bytes_ = 0;
  uint64_t staged_output_bytes_ = 0;
  uint64_t input_bytes_ = 0;
  uint64_t output_bytes_ = 0;
  std::vector<DirectCopy> copies_in_;
  std::vector<DirectCopy> copies_out_;
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_
