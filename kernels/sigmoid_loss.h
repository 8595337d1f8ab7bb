// The public face of the kernels: what a segment is, what a backend computes of
// each of its blocks, and how the blocks become one answer.
//
// A segment is one request's arithmetic: its tensors, in pieces anywhere in
// memory, its options, and the destination of its gradient. It is computed in
// blocks of kBlockElements elements counted from its own first element, in any
// order, by any number of threads and by any backend. Combine() then adds the
// blocks up in their order. Hence the bits of the answer depend on the segment
// alone (D6).
//
// Nothing here allocates, locks or depends on a request's transport. All
// functions are thread-safe, as long as no two calls compute the same block of
// a segment.
#ifndef LOSSD_KERNELS_SIGMOID_LOSS_H_
#define LOSSD_KERNELS_SIGMOID_LOSS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "element_type/element_type.h"

namespace lossd::kernels {

using lossd::ByteSize;
using lossd::ElementType;
using lossd::Name;

enum class LossKind : uint8_t {
  kSigmoidCrossEntropy,
  kSigmoidFocal,
  kAsymmetric,
  kPoly,
  kQualityFocal,
  kVarifocal,
};
inline constexpr int kLossKindCount = 6;
std::string_view Name(LossKind kind);  // "sigmoid_cross_entropy", ...

// kRows has a loss for each row, and kMeanOfRows their mean (rows.h).
enum class Reduction : uint8_t { kMean, kSum, kNone, kRows, kMeanOfRows };

// The divisor of Reduction::kMean and of each row; see NormalizerOf() and
// RowNormalizer().
enum class Normalizer : uint8_t {
  kElements,
  kValid,
  kBatch,
  kNonzeroWeights,
  kWeightSum,
  kCaller,
};

// The loss and its reduction. The kernels do not check it: the caller keeps to
// the ranges of LossSpec in proto/lossd/v1/loss_spec.proto.
struct LossOptions {
  LossKind kind = LossKind::kSigmoidCrossEntropy;
  Reduction reduction = Reduction::kMean;
  Normalizer normalizer = Normalizer::kElements;
  double normalizer_value = 1;  // for Normalizer::kCaller
  double loss_weight = 1;
  // Elements with this target take no part; NaN stands for every NaN.
  std::optional<double> ignore_target;
  double label_smoothing = 0;
  double label_smoothing_prior = 0.5;
  double focal_gamma = 0;
  std::optional<double> focal_alpha;
  double poly_epsilon = 0;
  // With kSigmoidFocal and kPoly: t times the loss of a positive plus 1 - t
  // times that of a negative, instead of a power of t p + (1 - t) (1 - p).
  bool mixes_soft_targets = false;
  // With kSigmoidFocal and kAsymmetric: derivatives take powers as constants.
  bool detaches_focus = false;
  double asymmetric_gamma_positive = 0;
  double asymmetric_gamma_negative = 0;
  double asymmetric_margin = 0;
  // NaN logits, and operands that are not finite, are refused. The kernels
  // compute with them all the same and report the first of each.
  bool reject_nan_logits = true;
  bool reject_negative_weights = false;  // the first one is reported, too
  bool targets_in_unit_interval = true;
};

// The parameters of the element functions. A plain struct, because it is also
// copied to a GPU.
struct LossParameters {
  double gamma_positive = 0;  // in losses with one gamma both are gamma
  double gamma_negative = 0;
  // The gammas as factors of derivatives: 0 where powers are constants.
  double slope_positive = 0;
  double slope_negative = 0;
  double alpha_positive = 1;  // alpha and 1 - alpha; 1 and 1 if alpha is absent
  double alpha_negative = 1;
  double margin = 0;
  double epsilon = 0;
  bool mixes_soft_targets = false;
};
LossParameters ParametersOf(const LossOptions& options);

// Consecutive bytes of a tensor. A piece may end inside an element.
using Piece = std::span<const std::byte>;

// Elements of one type over pieces, which are borrowed. A tensor without pieces
// is absent.
struct Tensor {
  ElementType type = ElementType::kFloat32;
  std::span<const Piece> pieces;
  // If true, there is one piece, in the memory of GPU Segment::device. The host
  // passes its address on and reads nothing there. It is aligned to the
  // element's size.
  bool on_device = false;
  // If true, there is one piece, in host memory that every GPU can copy from
  // by itself.
  bool pinned = false;
  bool present() const { return !pieces.empty(); }
};

inline constexpr int kMaxRank = 8;  // D18

// Dimensions, outermost first. The caller folds dimensions beyond kMaxRank, or
// refuses them.
struct Shape {
  int rank = 0;
  std::array<uint64_t, kMaxRank> dims{};
};

// A tensor under broadcasting: element (i0, i1, ...) of the logits' shape reads
// the element at the sum of ik * strides[k]. Strides are in elements, one for
// each of Segment::shape.rank dimensions. A broadcast dimension has stride 0.
struct Operand {
  Tensor tensor;
  std::array<uint64_t, kMaxRank> strides{};
  bool present() const { return tensor.present(); }
};

// Targets that are 1 at some elements and 0 at all others; they are never
// expanded (D14). The ones are a list of rising indices into the segment's
// elements or, where the list is empty, a diagonal: the `count` indices first,
// first + stride, ... All are below element_count; stride is at least 1.
struct Ones {
  std::span<const uint64_t> indices;
  uint64_t first = 0;
  uint64_t stride = 1;
  uint64_t count = 0;
};

inline constexpr int kHost = -1;

// The counts of the elements that a row and a block have in common.
struct RowCounts {
  double weight_sum = 0;  // over valid elements
  uint32_t valid_count = 0;
  uint32_t nonzero_weight_count = 0;
};

// One request's arithmetic. All memory is borrowed and outlives the
// computation.
struct Segment {
  LossOptions options;
  Shape shape;                 // of the logits
  uint64_t element_count = 0;  // the product of shape.dims
  Tensor logits;               // one of kFloatTypes
  Tensor targets;  // any type, element_count elements; absent: see `ones`
  Ones ones;
  Operand weights;     // optional: any type but kBit
  Operand pos_weight;  // optional: any type but kBit
  // The upstream gradient: a scalar and, with Reduction::kNone and kRows, also
  // one value per element or row.
  double upstream_scalar = 1;
  Operand upstream;  // optional: any type but kBit
  // If false, values of `upstream` that are not finite are no fault: they are
  // factors that were computed from operands.
  bool checks_upstream = true;
  // The destination of element_count gradient elements, aligned to 64 bytes. If
  // null, no gradient is computed.
  std::byte* gradient = nullptr;
  // Any floating-point type. The gradient is computed in the type of the
  // arithmetic (float64 for float64 logits, else float32) and rounded once.
  ElementType gradient_type = ElementType::kFloat32;
  // The destination of element_count second derivatives by the logits, of
  // gradient_type and with the gradient's scale, aligned to 64 bytes. If null,
  // none is computed. It may be asked for without a gradient.
  std::byte* second_derivative = nullptr;
  // The destination of element_count losses, for Reduction::kNone; else null.
  // Any floating-point type; losses are rounded as gradients are.
  std::byte* losses = nullptr;
  ElementType losses_type = ElementType::kFloat32;
  // With rows (HasRows()): the elements of a row, at least 1 if the segment has
  // elements, and how many of the first row's elements lie before the segment.
  // Rows are the first dimension, except in segments that cut them, such as a
  // stream's windows.
  uint64_t row_elements = 0;
  uint64_t first_in_row = 0;
  // The memory of RowPieceCount() pieces (rows.h): their sums, unscaled, and,
  // if NeedsRowCounts(), their counts. Host memory.
  double* row_sums = nullptr;
  RowCounts* row_counts = nullptr;
  // The number, in this server, of the GPU whose memory holds the tensors that
  // are on_device and, if so marked, the gradient and the second derivative. No
  // other device can compute the segment. kHost: all memory is the host's.
  // `losses` is always host memory.
  int device = kHost;
  bool gradient_on_device = false;
  bool second_derivative_on_device = false;
  // If true, every GPU can copy to this result, in host memory, by itself.
  bool gradient_pinned = false;
  bool second_derivative_pinned = false;

  // Returns true if a result is asked for that has the gradient's scale.
  bool has_derivatives() const {
    return gradient != nullptr || second_derivative != nullptr;
  }
};

// The elements of a block. The last block of a segment may be shorter.
inline constexpr uint64_t kBlockElements = 2048;  // D6
// Within a block, element i is added to lane i % kBlockLanes in rising order of
// i. The lanes are float64 and are then added as a binary tree of distances 64,
// 32, ..., 1. Every backend keeps this order, whatever its vector width; on a
// GPU a thread of a warp holds four lanes.
inline constexpr uint64_t kBlockLanes = 128;  // D6

// Within a block, element i of a piece of a row is added to lane i % kRowLanes
// in rising order of i. The lanes are float64 and are then added as a binary
// tree of distances 4, 2, 1.
inline constexpr uint64_t kRowLanes = 8;  // D73

// Returns the sum of lanes, whose number is a power of two, in the fixed order.
// Overwrites them.
template <uint64_t kLanes>
double SumLanes(double (&lanes)[kLanes]) {
  for (uint64_t distance = kLanes / 2; distance > 0; distance /= 2) {
    for (uint64_t i = 0; i < distance; ++i) lanes[i] += lanes[i + distance];
  }
  return lanes[0];
}

inline uint64_t BlockCount(const Segment& segment) {
  return (segment.element_count + kBlockElements - 1) / kBlockElements;
}

inline bool HasRows(const LossOptions& options) {
  return options.reduction == Reduction::kRows ||
         options.reduction == Reduction::kMeanOfRows;
}

inline constexpr uint64_t kNoIndex = std::numeric_limits<uint64_t>::max();

// The reasons for which LossOptions refuse an element of an operand. A value
// counts as it is computed with: a float64 beyond float32 is infinite in the
// arithmetic of float32.
enum class OperandFault : uint8_t {
  kWeightNotFinite,
  kWeightNegative,
  kPosWeightNotFinite,
  kUpstreamNotFinite,
};
inline constexpr uint64_t kOperandFaults = 4;

// An element with a fault of one of its operands, as one number: the least of
// several marks is the fault of the first element. `element` is below 2^60.
constexpr uint64_t FaultMark(uint64_t element, OperandFault fault) {
  return element * kOperandFaults + static_cast<uint64_t>(fault);
}
constexpr uint64_t ElementOfMark(uint64_t mark) {
  return mark / kOperandFaults;
}
constexpr OperandFault FaultOfMark(uint64_t mark) {
  return static_cast<OperandFault>(mark % kOperandFaults);
}

// The contribution of one block. Trivially copyable, because it is also copied
// from a GPU.
struct BlockPartial {
  double loss_sum = 0;    // unscaled: before loss_weight and the normalizer
  double weight_sum = 0;  // over valid elements
  uint32_t valid_count = 0;
  uint32_t nonzero_weight_count = 0;
  uint32_t nan_count = 0;  // NaN logits among valid elements
  // The index in the segment of the first NaN logit, and of the first target
  // that is NaN or out of range, among valid elements; kNoIndex if there is
  // none.
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
  // The least FaultMark() of the operands, or kNoIndex. Weights of valid
  // elements count, and other operands of elements whose weight is not 0.
  // CountBlocks() leaves it out.
  uint64_t first_operand_fault = kNoIndex;
};

// The sum of a segment's partials.
struct Totals {
  double loss_sum = 0;
  double weight_sum = 0;
  uint64_t valid_count = 0;
  uint64_t nonzero_weight_count = 0;
  uint64_t nan_count = 0;
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
  uint64_t first_operand_fault = kNoIndex;
};

// Adds numbers with compensation (Neumaier 1974). Not thread-safe.
class CompensatedSum {
 public:
  void Add(double value);
  // Returns the sum; a NaN is the canonical one.
  double Sum() const;

 private:
  double sum_ = 0;
  double lost_ = 0;  // the rounding errors of sum_
};

// Adds partials in their order, a few at a time, for a tensor that is never
// whole in memory. The bits do not depend on how the partials are portioned.
// Not thread-safe.
class TotalsAccumulator {
 public:
  // Adds the partials of the blocks that follow the last ones. They belong to a
  // segment whose element 0 is element `first_element` of the whole tensor.
  void Add(std::span<const BlockPartial> partials, uint64_t first_element = 0);

  // Returns the totals of all partials so far.
  Totals Sum() const;

 private:
  Totals totals_;  // but for loss_sum
  CompensatedSum loss_sum_;
};

// Returns the totals of all partials of a segment, for every backend.
Totals Combine(std::span<const BlockPartial> partials);

// Returns true if the normalizer, and with it the gradient's scale, is known
// only after CountBlocks() over the whole segment.
bool NeedsCounts(const LossOptions& options);

// Returns the divisor of the loss: the chosen normalizer with kMean, else 1. A
// count is at least 1, but the weight sum may be 0, by which LossScale() never
// divides. Reads only the totals that NeedsCounts() announces.
double NormalizerOf(const Segment& segment, const Totals& totals);

// Returns the divisor that options.normalizer chooses for a sum over `elements`
// elements; kBatch divides by `batch`. A count is at least 1. `Counted` has the
// counts of Totals.
template <class Counted>
double DivisorOf(const LossOptions& options, const Counted& counted,
                 uint64_t elements, uint64_t batch) {
  switch (options.normalizer) {
    case Normalizer::kElements:
      return std::max(1.0, static_cast<double>(elements));
    case Normalizer::kValid:
      return std::max(1.0, static_cast<double>(counted.valid_count));
    case Normalizer::kBatch:
      return std::max(1.0, static_cast<double>(batch));
    case Normalizer::kNonzeroWeights:
      return std::max(1.0, static_cast<double>(counted.nonzero_weight_count));
    case Normalizer::kWeightSum:
      return counted.weight_sum;
    case Normalizer::kCaller:
      return options.normalizer_value;
  }
  return 1;
}

// Returns loss_weight / normalizer, or 0 where the normalizer is 0.
double LossScale(const LossOptions& options, double normalizer);

// Returns the factor of every derivative: LossScale() times upstream_scalar.
double GradientScale(const Segment& segment, double normalizer);

// Returns the reduced loss: loss_sum times LossScale(). It is 0 with
// Reduction::kNone and kRows, and for a segment without valid elements.
double LossOf(const Segment& segment, const Totals& totals, double normalizer);

// Returns element `index` of a tensor in host memory as float64, for messages.
// It is exact, except that int64 values beyond 2^53 are rounded.
double ElementAt(const Tensor& tensor, uint64_t index);

// Returns the target of element `index`, from `targets` or `ones`. The targets
// are not on_device.
double TargetAt(const Segment& segment, uint64_t index);

// Returns the int64 that equals `value`, if there is one.
std::optional<int64_t> AsInt64(double value);

// Returns true if the target of element `index` equals ignore_target exactly,
// even if it is an int64 that float64 does not hold, or if both are NaN. The
// targets are not on_device.
bool IsIgnored(const Segment& segment, uint64_t index);

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_SIGMOID_LOSS_H_
