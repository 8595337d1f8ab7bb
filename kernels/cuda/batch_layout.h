// How a batch lies in device memory: one block of bytes in, one block of bytes
// out.
//
//   input   [PackedSegment ...] [segment of each block ...] [tensors ...]
//   output  [BlockPartial of each block ...] [gradients and losses ...]
//
// Places are offsets, not addresses, so that the host can compute a batch in
// place of a device. Every tensor starts at a multiple of kTensorAlignment:
// whatever the alignment of the pieces it came in, the device reads it by whole
// vectors.
//
// Tensors and gradients that are on the device already (Segment::device) are
// resident: they are left where they are, and take nothing of either block.
// Their offset is the distance from the block, modulo 2^64; what it adds up to
// need not be aligned to more than an element.
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

// The first place at `end` or behind it where a tensor may begin.
constexpr uint64_t TensorPlace(uint64_t end) {
  return (end + kTensorAlignment - 1) / kTensorAlignment * kTensorAlignment;
}

// How element i of the logits finds its element of an operand.
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

// Blocks of a segment on the device: what kernels::Segment says, with offsets
// for pointers. Elements have the segment's own indices, also where the first
// ones are not in the batch: an offset is where element 0 would be, modulo 2^64
// (PlaceIn()). What the plain paths read comes first, in one line of a cache: a
// segment of a few elements costs a device little more than that line.
struct alignas(64) PackedSegment {
  uint64_t end = 0;              // index after its last element
  uint64_t first_block = 0;      // in the batch the segment's block 0, as above
  uint64_t logits = 0;           // offsets in the input
  uint64_t targets = 0;          // of kSteppedOnes: nothing is there
  uint64_t gradient = kNoIndex;  // offsets in the output; kNoIndex: not wanted
  double gradient_scale = 0;
  uint64_t losses = kNoIndex;
  Path path = Path::kGeneral;
  ElementType logits_type = ElementType::kFloat32;
  ElementType gradient_type = ElementType::kFloat32;
  ElementType targets_type = ElementType::kFloat32;
  TargetForm target_form = TargetForm::kTensor;
  bool ignores = false;
  bool targets_in_unit_interval = true;
  LossKind kind = LossKind::kSigmoidCrossEntropy;

  LossParameters parameters;
  int32_t rank = 0;
  uint64_t dims[kMaxRank] = {};
  PackedOperand weights;
  PackedOperand pos_weight;
  PackedOperand upstream;
  uint64_t ones_count = 0;
  uint64_t ones_first = 0;
  uint64_t ones_stride = 1;
  double ignore_target = 0;
  int64_t ignore_integer = 0;  // int64 targets are compared with this one
  double label_smoothing = 0;
  double loss_weight = 1;  // of the losses of Reduction::kNone
};

// Blocks of a batch or of a segment that follow each other.
struct BlockRange {
  uint64_t first = 0;
  uint64_t count = 0;
};

// A batch somewhere in memory, as the kernels take it. The blocks of a path are
// neighbours, in the order of Path.
struct PackedBatch {
  const std::byte* input = nullptr;
  std::byte* output = nullptr;
  uint64_t block_segments = 0;  // offset of the table: uint32_t per block
  uint64_t block_count = 0;
  BlockRange paths[kPathCount];
};

// Blocks of a segment, and the factor of their gradient.
struct BatchItem {
  // All of them.
  BatchItem(const Segment* of, double scale)
      : BatchItem(of, scale, {0, BlockCount(*of)}) {}
  BatchItem(const Segment* of, double scale, BlockRange some)
      : segment(of), gradient_scale(scale), blocks(some) {}

  const Segment* segment;
  double gradient_scale;
  BlockRange blocks;  // of the segment
};

// The plan of one batch: blocks of segments. Of tensors that have an element
// for each logit only those elements are in the batch; operands that are
// broadcast are there whole. Borrows the segments. Plans only: it owns no
// tensor.
class BatchLayout {
 public:
  explicit BatchLayout(std::span<const BatchItem> items);

  uint64_t input_bytes() const { return input_bytes_; }
  uint64_t output_bytes() const { return output_bytes_; }

  // Writes the whole input, to be computed as `batch`, which is of At(): the
  // one host copy that the tensors see. No tensor is resident: any At() will
  // do.
  void Stage(const PackedBatch& batch, std::byte* input) const;

  // What comes before the tensors, table_bytes() of it; Stage() without the
  // tensors, for whoever brings them otherwise.
  uint64_t table_bytes() const { return table_bytes_; }
  void StageTables(const PackedBatch& batch, std::byte* input) const;

  // Item `index` as the kernels read it: where its tensors go. Of what is
  // resident the offset is its address.
  const PackedSegment& packed(size_t index) const { return packed_[index]; }

  PackedBatch At(const std::byte* input, std::byte* output) const;

  // What the blocks of item `index` got, read from a computed output on the
  // host.
  std::span<const BlockPartial> Partials(size_t index,
                                         const std::byte* output) const;
  // Copies their gradient and losses to where the segment wants them, unless
  // they are there already.
  void CopyResults(size_t index, const std::byte* output) const;

 private:
  void PlaceBlocks();
  void StageTensors(size_t index, std::byte* input) const;

  std::vector<BatchItem> items_;
  std::vector<PackedSegment> packed_;
  std::vector<size_t> order_;  // of the items' blocks: by path, then as given
  BlockRange paths_[kPathCount];
  uint64_t block_segments_ = 0;
  uint64_t block_count_ = 0;
  uint64_t table_bytes_ = 0;
  uint64_t input_bytes_ = 0;
  uint64_t output_bytes_ = 0;
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_
