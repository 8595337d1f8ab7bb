// What one thread of a warp does with its elements of a block. A body without
// an include guard, like element.h, after which it is included: by the kernel,
// and by a host that computes a packed batch in place of a device. The includer
// also defines LOSSD_UNROLL, what stands before a loop over the lanes: a device
// keeps lanes in registers only where such loops are unrolled.
// LOSSD_ROLL stands before one that is to stay a loop.
//
// This is the general loop, of the segments that have no plain path
// (plain-inl.h). Together the 32 threads hold the kBlockLanes lanes of a block,
// four each: in row r, thread k has elements 128 r + 4 k .. + 3. The arithmetic
// is that of the CPU's general loop, operation by operation; an option that is
// absent is the value that changes no bit (weight 1, upstream 1).

inline constexpr int kThreadLanes = 4;  // D37

// What a thread has added up.
struct ThreadSums {
  double loss[kThreadLanes] = {};
  double weight[kThreadLanes] = {};
  uint32_t valid_count = 0;
  uint32_t nonzero_weight_count = 0;
  uint32_t nan_count = 0;
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
};

// clang-format off
#include "kernels/cuda/elements-inl.h"
// clang-format on

// One NaN for all backends: its sign and payload are the machine's otherwise.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::T CanonicalNan(typename Ops::T a) {
  return a == a ? a : Ops::CanonicalNan();
}

// What an element yields: what goes into the sum, and what goes out.
template <class T>
struct ElementOutput {
  T loss;
  T gradient;
};

// What a loop is made for: the fewer losses, the fewer registers.
enum class Losses { kCrossEntropy, kAll };

// Calls `use` with the loss of a segment.
template <class Ops, Losses kLosses, class Use>
LOSSD_ELEMENT_FN ElementResult<Ops> WithLossOf(const PackedSegment& segment,
                                               Use use) {
  if constexpr (kLosses == Losses::kCrossEntropy) {
    return use(CrossEntropyLoss<Ops>(segment.parameters));
  } else {
    return WithLoss<Ops>(segment.kind, segment.parameters, use);
  }
}

// Element `index` of a segment; notes in `sums` everything but the loss and the
// weight.
template <class Ops, Losses kLosses>
LOSSD_ELEMENT_FN ElementOutput<typename Ops::T> ComputeElement(
    const PackedSegment& segment, const std::byte* input, uint64_t index,
    const Target<typename Ops::T>& target, typename Ops::T x, int lane,
    ThreadSums& sums) {
  using T = typename Ops::T;
  if (target.ignored) return {0, 0};
  if (!target.good && sums.first_bad_target == kNoIndex) {
    sums.first_bad_target = index;
  }
  const T w = OperandAt<T>(segment, segment.weights, input, index);
  ++sums.valid_count;
  sums.nonzero_weight_count += w != 0 ? 1 : 0;
  sums.weight[lane] += static_cast<double>(w);
  if (x != x && sums.nan_count++ == 0) sums.first_nan = index;
  if (w == 0) return {0, 0};

  TargetPair<Ops> sides = TargetPairOf<Ops>(target.value);
  if (segment.label_smoothing != 0) {
    sides = Smoothed<Ops>(sides, static_cast<T>(1 - segment.label_smoothing),
                          static_cast<T>(segment.label_smoothing / 2));
  }
  const T q = OperandAt<T>(segment, segment.pos_weight, input, index);
  const ElementResult<Ops> result = WithLossOf<Ops, kLosses>(
      segment, [&](const auto& loss) { return loss(x, sides, q); });
  const T scale = static_cast<T>(segment.gradient_scale);
  const T factor =
      Ops::Mul(Ops::Mul(w, scale),
               OperandAt<T>(segment, segment.upstream, input, index));
  return {Ops::Mul(result.loss, w),
          CanonicalNan<Ops>(Ops::Mul(result.derivative, factor))};
}

// A thread's elements of one row. `first` is the index of its first element.
template <class Ops, Losses kLosses>
LOSSD_ELEMENT_FN void ComputeQuad(const PackedSegment& segment,
                                  const std::byte* input, std::byte* output,
                                  uint64_t first, OnesWalk& walk,
                                  ThreadSums& sums) {
  using T = typename Ops::T;
  if (first >= segment.end) return;
  const uint64_t left = segment.end - first;
  const Quad<T> x = LoadLogits<T>(segment.logits_type,
                                  PlaceIn(input, segment.logits), first, left);
  WalkTo(segment, input, first, walk);
  Quad<T> gradient = {};
  Quad<T> losses = {};
  LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
    if (static_cast<uint64_t>(k) >= left) continue;
    const Target<T> target = TargetAt<T>(segment, input, first + k, walk);
    const ElementOutput<T> element = ComputeElement<Ops, kLosses>(
        segment, input, first + k, target, x.values[k], k, sums);
    sums.loss[k] += static_cast<double>(element.loss);
    gradient.values[k] = element.gradient;
    losses.values[k] = CanonicalNan<Ops>(
        Ops::Mul(element.loss, static_cast<T>(segment.loss_weight)));
  }
  if (segment.gradient != kNoIndex) {
    StoreResults(segment.gradient_type, gradient,
                 PlaceIn(output, segment.gradient), first, left);
  }
  if (segment.losses != kNoIndex) {
    StoreResults(segment.logits_type, losses, PlaceIn(output, segment.losses),
                 first, left);
  }
}

// All rows of thread `thread` of the block that starts at element `first`.
template <class Ops, Losses kLosses>
LOSSD_ELEMENT_FN ThreadSums ComputeThread(const PackedSegment& segment,
                                          const std::byte* input,
                                          std::byte* output, uint64_t first,
                                          int thread) {
  ThreadSums sums;
  OnesWalk walk;
  LOSSD_ROLL for (uint64_t row = 0; row < kBlockElements / kBlockLanes; ++row) {
    ComputeQuad<Ops, kLosses>(segment, input, output,
                              first + row * kBlockLanes + kThreadLanes * thread,
                              walk, sums);
  }
  return sums;
}
