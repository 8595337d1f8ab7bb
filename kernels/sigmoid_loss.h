// The plain public face of the kernels: what a segment is, what computing its
// blocks yields, and how the blocks become one answer.
//
// A segment is one request's arithmetic: tensors that lie somewhere in memory,
// in pieces, and where the gradient goes. It is computed in blocks of
// kBlockElements elements counted from its own first element, in any order, by
// any number of threads and by any backend; Combine() then adds the blocks up
// in their order. Hence the bits of the answer depend on the segment alone.
//
// Nothing here allocates, locks, or knows of a request's transport. All
// functions are thread-safe as long as two calls do not compute the same block
// of a segment.
#ifndef LOSSD_KERNELS_SIGMOID_LOSS_H_
#define LOSSD_KERNELS_SIGMOID_LOSS_H_

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
  kAsymmetric
};
std::string_view Name(LossKind kind);  // "sigmoid_cross_entropy", ...

enum class Reduction : uint8_t { kMean, kSum, kNone };

// What kMean divides by; see NormalizerOf().
enum class Normalizer : uint8_t {
  kElements,
  kValid,
  kBatch,
  kNonzeroWeights,
  kWeightSum,
  kCaller,
};

// Which loss, and how it is reduced. Checked by whoever fills it in: the ranges
// are those of LossSpec in proto/lossd/v1/loss_spec.proto.
struct LossOptions {
  LossKind kind = LossKind::kSigmoidCrossEntropy;
  Reduction reduction = Reduction::kMean;
  Normalizer normalizer = Normalizer::kElements;
  double normalizer_value = 1;  // of kCaller
  double loss_weight = 1;
  std::optional<double> ignore_target;
  double label_smoothing = 0;
  double focal_gamma = 0;
  std::optional<double> focal_alpha;
  double asymmetric_gamma_positive = 0;
  double asymmetric_gamma_negative = 0;
  double asymmetric_margin = 0;
  bool reject_nan_logits = true;
  bool targets_in_unit_interval = true;
};

// What the element functions read of LossOptions. A plain struct: a GPU reads
// it too.
struct LossParameters {
  double gamma_positive = 0;  // focal: both are gamma
  double gamma_negative = 0;
  double alpha_positive = 1;  // focal: alpha and 1 - alpha; absent: 1 and 1
  double alpha_negative = 1;
  double margin = 0;
};
LossParameters ParametersOf(const LossOptions& options);

// Bytes where they lie, in order; a piece may end inside an element.
using Piece = std::span<const std::byte>;

// Elements of one type over pieces. `pieces` is borrowed. No pieces: absent.
struct Tensor {
  ElementType type = ElementType::kFloat32;
  std::span<const Piece> pieces;
  // True: the pieces, of which there is one, have addresses of a GPU's memory
  // (Segment::device). The host passes them on and reads nothing there. It
  // begins at a multiple of the element's size.
  bool on_device = false;
  bool present() const { return !pieces.empty(); }
};

inline constexpr int kMaxRank = 8;  // D18

// Dimensions, outermost first. Higher ranks than kMaxRank are folded by whoever
// builds the shape, or refused.
struct Shape {
  int rank = 0;
  std::array<uint64_t, kMaxRank> dims{};
};

// A tensor read through broadcasting: element (i0, i1, ...) of the logits'
// shape reads the element at the sum of ik * strides[k]. A broadcast dimension
// has stride 0.
struct Operand {
  Tensor tensor;
  std::array<uint64_t, kMaxRank>
      strides{};  // in elements, as many as Segment::shape.rank
  bool present() const { return tensor.present(); }
};

// Targets that are 1 at some elements and 0 at all others; never expanded.
// Either a list of indices into the segment's elements, each larger than the
// one before, or, where the list is empty, the `count` indices first, first +
// stride, ...: a diagonal. All are below element_count; stride is at least 1.
struct Ones {
  std::span<const uint64_t> indices;
  uint64_t first = 0;
  uint64_t stride = 1;
  uint64_t count = 0;
};

inline constexpr int kHost = -1;

// One request's arithmetic. All memory is borrowed and outlives the
// computation.
struct Segment {
  LossOptions options;
  Shape shape;                 // of the logits
  uint64_t element_count = 0;  // the product of shape.dims
  Tensor logits;               // kFloat32, kFloat64, kBFloat16, kFloat16
  Tensor targets;  // any type; element_count elements. Absent: `ones`
  Ones ones;
  Operand weights;     // optional: any type but kBit
  Operand pos_weight;  // optional: any type but kBit
  // Scalar upstream gradient; `upstream` is for Reduction::kNone, per element.
  double upstream_scalar = 1;
  Operand upstream;  // optional: any type but kBit
  // Where element_count gradient elements go; null: no gradient is computed.
  // Aligned to 64 bytes.
  std::byte* gradient = nullptr;
  // Any of the logits' four types. Computed in the type of the arithmetic
  // (float64 for float64 logits, else float32) and rounded once.
  ElementType gradient_type = ElementType::kFloat32;
  // With Reduction::kNone: where element_count losses of the logits' type go.
  std::byte* losses = nullptr;
  // The GPU, by its number in the server, that has the tensors that are
  // on_device, and the gradient if that is; no other can compute the segment.
  // kHost: everything is in the host's memory. `losses` always are.
  int device = kHost;
  bool gradient_on_device = false;
};

// Elements of a block. The last block of a segment may be shorter.
inline constexpr uint64_t kBlockElements = 2048;  // D6
// Within a block, element i is added to lane i % kBlockLanes, lanes in order of
// i, and the lanes are then added as a binary tree of distance 64, 32, ..., 1.
// Lanes are float64. This is the order of every backend, whatever its vector
// width; on a GPU a warp holds four lanes per thread.
inline constexpr uint64_t kBlockLanes = 128;  // D6

// Adds a block's lanes in the fixed order; destroys them.
inline double SumLanes(double (&lanes)[kBlockLanes]) {
  for (uint64_t distance = kBlockLanes / 2; distance > 0; distance /= 2) {
    for (uint64_t i = 0; i < distance; ++i) lanes[i] += lanes[i + distance];
  }
  return lanes[0];
}

inline uint64_t BlockCount(const Segment& segment) {
  return (segment.element_count + kBlockElements - 1) / kBlockElements;
}

inline constexpr uint64_t kNoIndex = std::numeric_limits<uint64_t>::max();

// What one block contributes. Trivially copyable: it also travels from a GPU.
struct BlockPartial {
  double loss_sum = 0;    // unscaled: before loss_weight and the normalizer
  double weight_sum = 0;  // of valid elements
  uint32_t valid_count = 0;
  uint32_t nonzero_weight_count = 0;
  uint32_t nan_count = 0;  // NaN logits among valid elements
  // Index in the segment of the first NaN logit and the first target that is
  // NaN or outside the allowed range, among valid elements; kNoIndex: none.
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
};

// A segment's partials, added in order.
struct Totals {
  double loss_sum = 0;
  double weight_sum = 0;
  uint64_t valid_count = 0;
  uint64_t nonzero_weight_count = 0;
  uint64_t nan_count = 0;
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
};

// Adds partials in their order, a few at a time: what a tensor that is never
// whole in memory needs. However the partials are portioned, the bits are the
// same.
class TotalsAccumulator {
 public:
  // Partials of the blocks that follow the last ones, of a segment whose
  // element 0 is element `first_element` of the whole.
  void Add(std::span<const BlockPartial> partials, uint64_t first_element = 0);

  // Of all that was added.
  Totals Sum() const;

 private:
  Totals totals_;
  double sum_ = 0;
  double lost_ = 0;  // what the running sum's roundings lost (Neumaier 1974)
};

// Adds all partials of a segment; every backend calls it.
Totals Combine(std::span<const BlockPartial> partials);

// True if the normalizer is known only after CountBlocks() over the whole
// segment: the gradient's scale depends on it.
bool NeedsCounts(const LossOptions& options);

// What the loss is divided by: of kMean the chosen normalizer, else 1. Counts
// are at least 1. The weight sum is what it is, and 0 where it is 0 or nothing
// is valid: callers use Scale(), which never divides by 0. Reads only the
// totals that NeedsCounts() announces.
double NormalizerOf(const Segment& segment, const Totals& totals);

// loss_weight / normalizer, or 0 where the normalizer is 0.
double LossScale(const LossOptions& options, double normalizer);

// The factor of every gradient element: LossScale() times upstream_scalar.
double GradientScale(const Segment& segment, double normalizer);

// The reduced loss: loss_sum times LossScale(); 0 with Reduction::kNone and for
// a segment of which nothing is valid.
double LossOf(const Segment& segment, const Totals& totals, double normalizer);

// The value of element `index` of a tensor in the host's memory, as float64:
// for messages. Exact but for int64 values beyond 2^53, which are rounded.
double ElementAt(const Tensor& tensor, uint64_t index);

// The target of element `index`, whichever way targets are given, but for those
// that are on_device.
double TargetAt(const Segment& segment, uint64_t index);

// The int64 that equals `value`, if there is one.
std::optional<int64_t> AsInt64(double value);

// True if the target of element `index` equals ignore_target exactly, also
// where float64 does not hold it. Likewise.
bool IsIgnored(const Segment& segment, uint64_t index);

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_SIGMOID_LOSS_H_
