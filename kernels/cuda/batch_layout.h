// How a batch lies in device memory: one block of bytes in, one block of bytes
// out.
//
//   input   [PackedSegment ...] [segment of each block ...] [tensors ...]
//   output  [BlockPartial of each block ...] [gradients and losses ...]
//
// Places are offsets, not addresses, so that a batch is staged before anybody
// knows where it will lie, and so that the host can compute it in place of a
// device. Every tensor starts at a multiple of kTensorAlignment: whatever the
// alignment of the pieces it came in, the device reads it by whole vectors.
#ifndef LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_
#define LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels::cuda {

inline constexpr uint64_t kTensorAlignment = 256;

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

// A segment on the device: what kernels::Segment says, with offsets for
// pointers.
struct PackedSegment {
  uint64_t element_count = 0;
  uint64_t first_block = 0;      // in the batch
  uint64_t logits = 0;           // offsets in the input
  uint64_t targets = 0;          // of kSteppedOnes: nothing is there
  uint64_t gradient = kNoIndex;  // offsets in the output; kNoIndex: not wanted
  uint64_t losses = kNoIndex;
  LossKind kind = LossKind::kSigmoidCrossEntropy;
  LossParameters parameters;
  ElementType logits_type = ElementType::kFloat32;
  ElementType gradient_type = ElementType::kFloat32;
  ElementType targets_type = ElementType::kFloat32;
  TargetForm target_form = TargetForm::kTensor;
  bool ignores = false;
  bool targets_in_unit_interval = true;
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
  double gradient_scale = 0;
};

// A batch somewhere in memory, as the kernel takes it.
struct PackedBatch {
  const std::byte* input = nullptr;
  std::byte* output = nullptr;
  uint64_t block_segments = 0;  // offset of the table: uint32_t per block
  uint64_t block_count = 0;
};

// A segment, and the factor of its gradient.
struct BatchItem {
  const Segment* segment = nullptr;
  double gradient_scale = 0;
};

// The plan of one batch. Borrows the segments. Plans only: it owns no tensor.
class BatchLayout {
 public:
  explicit BatchLayout(std::span<const BatchItem> items);

  uint64_t input_bytes() const { return input_bytes_; }
  uint64_t output_bytes() const { return output_bytes_; }

  // Writes the whole input: the one host copy that the tensors see.
  void Stage(std::byte* input) const;

  PackedBatch At(const std::byte* input, std::byte* output) const;

  // What item `index` got, read from a computed output on the host.
  std::span<const BlockPartial> Partials(size_t index,
                                         const std::byte* output) const;
  // Copies gradient and losses to where the segment wants them.
  void CopyResults(size_t index, const std::byte* output) const;

 private:
  std::vector<const Segment*> segments_;
  std::vector<PackedSegment> packed_;
  uint64_t block_segments_ = 0;
  uint64_t block_count_ = 0;
  uint64_t input_bytes_ = 0;
  uint64_t output_bytes_ = 0;
};

}  // namespace lossd::kernels::cuda

#endif  // LOSSD_KERNELS_CUDA_BATCH_LAYOUT_H_
