// The exact loop: segments of every type, with every option.
//
// This is a body; lanes-inl.h says what the includer defines and includes.
//
// Together the 32 threads of a warp hold the kBlockLanes lanes of a block, four
// each: in row r, thread k has elements 128 r + 4 k .. 128 r + 4 k + 3. The
// arithmetic is that of the CPU's exact loop, operation by operation (D6). An
// option that is absent has the value that changes no bit: weight 1, upstream
// gradient 1.

inline constexpr int kThreadLanes = 4;  // D37

template <class T>
using Quad = Neighbours<T, kThreadLanes>;

// The sums and counts of one thread.
struct ThreadSums {
  double loss[kThreadLanes] = {};
  double weight[kThreadLanes] = {};
  uint32_t valid_count = 0;
  uint32_t nonzero_weight_count = 0;
  uint32_t nan_count = 0;
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
  uint64_t first_operand_fault = kNoIndex;
};

// Reads logits of `type`; the conversion to the arithmetic's type T is exact.
template <class T>
LOSSD_ELEMENT_FN Quad<T> LoadLogits(ElementType type, const std::byte* base,
                                    uint64_t first, uint64_t left) {
  Quad<T> logits = {};
  WithStoredFloat(type, [&](auto stored) {
    const auto quad =
        LoadNeighbours<decltype(stored), kThreadLanes>(base, first, left);
    LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
      logits.values[k] = Loaded<T>(quad.values[k]);
    }
  });
  return logits;
}

// Writes results of the arithmetic's type T as `type`, rounded once.
template <class T>
LOSSD_ELEMENT_FN void StoreResults(ElementType type, const Quad<T>& results,
                                   std::byte* base, uint64_t first,
                                   uint64_t left) {
  WithStoredFloat(type, [&](auto stored) {
    Quad<decltype(stored)> quad = {};
    LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
      StoreRounded(results.values[k], &quad.values[k]);
    }
    StoreNeighbours(quad, base, first, left);
  });
}

// Returns element `index` of an operand, or 1 if it is absent.
template <class T>
LOSSD_ELEMENT_FN T OperandAt(const PackedSegment& segment,
                             const PackedOperand& operand,
                             const std::byte* input, uint64_t index) {
  uint64_t position = index;
  if (operand.access == Access::kAbsent) return 1;
  if (operand.access == Access::kScalar) position = 0;
  if (operand.access == Access::kStrided) {
    position = 0;
    for (int k = segment.rank - 1; k >= 0; --k) {
      position += index % segment.dims[k] * operand.strides[k];
      index /= segment.dims[k];
    }
  }
  T value = 0;
  WithStored(operand.type, [&](auto stored) {
    value = Loaded<T>(
        At<decltype(stored)>(PlaceIn(input, operand.offset), position));
  });
  return value;
}

// A thread's place in its segment's list of ones. The thread asks for elements
// in rising order, and its next quad is kBlockLanes elements further, so at
// most as many ones are passed: only the first search is through the whole
// list.
struct OnesWalk {
  uint64_t number = 0;  // the first one that is not before the next element
  uint64_t reach = kNoIndex;  // how far beyond `number` to search
};

// Returns the element at which one `number` lies.
LOSSD_ELEMENT_FN uint64_t OneAt(const PackedSegment& segment,
                                const std::byte* input, uint64_t number) {
  return segment.target_form == TargetForm::kListedOnes
             ? At<uint64_t>(PlaceIn(input, segment.targets), number)
             : segment.ones_first + number * segment.ones_stride;
}

// Moves to the first one at or after `index`.
LOSSD_ELEMENT_FN void WalkTo(const PackedSegment& segment,
                             const std::byte* input, uint64_t index,
                             OnesWalk& walk) {
  if (segment.target_form == TargetForm::kTensor) return;
  if (segment.target_form == TargetForm::kSteppedOnes) {
    const uint64_t stride = segment.ones_stride;
    walk.number = index <= segment.ones_first
                      ? 0
                      : (index - segment.ones_first + stride - 1) / stride;
    return;
  }
  uint64_t low = walk.number;
  uint64_t high = segment.ones_count;
  if (high - low > walk.reach) high = low + walk.reach;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const bool before = OneAt(segment, input, middle) < index;
    low = before ? middle + 1 : low;
    high = before ? high : middle;
  }
  walk = {low, kBlockLanes};
}

// A target, converted to the arithmetic's type.
template <class T>
struct Target {
  T value;
  bool good;  // in the allowed range
  bool ignored;
};

// `value` has the stored type, or one that holds it exactly: a float64 just
// outside [0, 1] must not be rounded to a float32 inside before it is checked.
template <class T, class Value>
LOSSD_ELEMENT_FN Target<T> TargetOf(const PackedSegment& segment, Value value,
                                    Value ignored) {
  const T rounded = static_cast<T>(value);
  const bool good = segment.targets_in_unit_interval
                        ? value >= 0 && value <= 1
                        : rounded - rounded == 0;  // finite
  const bool is_ignored =
      value == ignored || (value != value && ignored != ignored);
  return {rounded, good, segment.ignores && is_ignored};
}

// Returns the target of element `index`. If the segment lists its ones, `walk`
// must be at the first one that is not before the element, and moves past it.
template <class T>
LOSSD_ELEMENT_FN Target<T> TargetAt(const PackedSegment& segment,
                                    const std::byte* input, uint64_t index,
                                    OnesWalk& walk) {
  const std::byte* base = PlaceIn(input, segment.targets);
  double value = 0;
  if (segment.target_form != TargetForm::kTensor) {
    if (walk.number < segment.ones_count &&
        OneAt(segment, input, walk.number) == index) {
      ++walk.number;
      value = 1;
    }
  } else if (segment.targets_type == ElementType::kBit) {
    value = (At<uint8_t>(base, index / 8) >> (index % 8)) & 1;
  } else if (segment.targets_type == ElementType::kInt64) {
    return TargetOf<T>(segment, At<int64_t>(base, index),
                       segment.ignore_integer);
  } else {  // float64 represents every other type exactly
    WithStored(segment.targets_type, [&](auto stored) {
      value = Loaded<double>(At<decltype(stored)>(base, index));
    });
  }
  return TargetOf<T>(segment, value, segment.ignore_target);
}

// The results of one element. The loss is the term of the sum, without the
// factor of a returned loss.
template <class T>
struct ElementOutput {
  T loss;
  T gradient;
  T second;  // with kSecond, else 0
};

// The losses that a loop is compiled for. Fewer losses take fewer registers.
enum class LossKinds { kCrossEntropy, kAll };

// Returns what `use` returns for the loss function of the segment.
template <class Ops, LossKinds kLossKinds, class Use>
LOSSD_ELEMENT_FN ElementResult<Ops> WithLossOf(const PackedSegment& segment,
                                               Use use) {
  if constexpr (kLossKinds == LossKinds::kCrossEntropy) {
    return use(CrossEntropyLoss<Ops>(segment.parameters));
  } else {
    return WithLoss<Ops>(segment.kind, segment.parameters, use);
  }
}

// Keeps the fault of an operand's element. A thread meets its elements in
// rising order, and the faults of one element in the order of the enum.
LOSSD_ELEMENT_FN void NoteFault(bool found, uint64_t index, OperandFault fault,
                                ThreadSums& sums) {
  if (found && sums.first_operand_fault == kNoIndex) {
    // This is FaultMark(), which a device cannot call.
    sums.first_operand_fault =
        index * kOperandFaults + static_cast<uint64_t>(fault);
  }
}

// Returns true if the segment refuses `value` because it is not finite.
template <class T>
LOSSD_ELEMENT_FN bool Refuses(const PackedSegment& segment, T value) {
  return segment.rejects_not_finite && !(value - value == 0);
}

// Computes element `index` of a segment. Adds everything but the loss to
// `sums`.
template <class Ops, LossKinds kLossKinds, bool kSecond>
LOSSD_ELEMENT_FN ElementOutput<typename Ops::T> ComputeElement(
    const PackedSegment& segment, const std::byte* input, uint64_t index,
    const Target<typename Ops::T>& target, typename Ops::T x, int lane,
    ThreadSums& sums) {
  using T = typename Ops::T;
  if (target.ignored) return {0, 0, 0};
  if (!target.good && sums.first_bad_target == kNoIndex) {
    sums.first_bad_target = index;
  }
  const T w = OperandAt<T>(segment, segment.weights, input, index);
  ++sums.valid_count;
  sums.nonzero_weight_count += w != 0 ? 1 : 0;
  sums.weight[lane] += static_cast<double>(w);
  if (x != x && sums.nan_count++ == 0) sums.first_nan = index;
  if (w == 0) return {0, 0, 0};
  NoteFault(Refuses(segment, w), index, OperandFault::kWeightNotFinite, sums);
  NoteFault(segment.rejects_negative_weights && w < 0, index,
            OperandFault::kWeightNegative, sums);

  TargetPair<Ops> pair = TargetPairOf<Ops>(target.value);
  if (segment.label_smoothing != 0) {
    const double e = segment.label_smoothing;
    const double prior = segment.label_smoothing_prior;
    pair =
        Smoothed<Ops>(pair, {static_cast<T>(1 - e), static_cast<T>(e * prior),
                             static_cast<T>(e * (1 - prior))});
  }
  const T q = OperandAt<T>(segment, segment.pos_weight, input, index);
  NoteFault(Refuses(segment, q), index, OperandFault::kPosWeightNotFinite,
            sums);
  const ElementResult<Ops> result = WithLossOf<Ops, kLossKinds>(
      segment,
      [&](const auto& loss) { return loss.template At<kSecond>(x, pair, q); });
  const T scale = static_cast<T>(segment.gradient_scale);
  const T upstream = OperandAt<T>(segment, segment.upstream, input, index);
  NoteFault(Refuses(segment, upstream), index, OperandFault::kUpstreamNotFinite,
            sums);
  const T factor = Ops::Mul(Ops::Mul(w, scale), upstream);
  return {Ops::Mul(result.loss, w),
          CanonicalNan<Ops>(Ops::Mul(result.derivative, factor)),
          CanonicalNan<Ops>(Ops::Mul(result.second, factor))};
}

// Computes a thread's elements of one row. `first` is the index of the first.
template <class Ops, LossKinds kLossKinds, bool kSecond>
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
  Quad<T> second = {};
  Quad<T> losses = {};
  LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
    if (static_cast<uint64_t>(k) >= left) continue;
    const Target<T> target = TargetAt<T>(segment, input, first + k, walk);
    const ElementOutput<T> element = ComputeElement<Ops, kLossKinds, kSecond>(
        segment, input, first + k, target, x.values[k], k, sums);
    sums.loss[k] += static_cast<double>(element.loss);
    gradient.values[k] = element.gradient;
    second.values[k] = element.second;
    losses.values[k] = CanonicalNan<Ops>(
        Ops::Mul(element.loss, static_cast<T>(segment.loss_weight)));
  }
  if (segment.gradient != kNoIndex) {
    StoreResults(segment.gradient_type, gradient,
                 PlaceIn(output, segment.gradient), first, left);
  }
  if (kSecond) {
    StoreResults(segment.gradient_type, second, PlaceIn(output, segment.second),
                 first, left);
  }
  if (segment.losses != kNoIndex) {
    StoreResults(segment.losses_type, losses, PlaceIn(output, segment.losses),
                 first, left);
  }
}

// Computes all rows of thread `thread` of the block that starts at `first`.
template <class Ops, LossKinds kLossKinds, bool kSecond>
LOSSD_ELEMENT_FN ThreadSums ComputeThread(const PackedSegment& segment,
                                          const std::byte* input,
                                          std::byte* output, uint64_t first,
                                          int thread) {
  ThreadSums sums;
  OnesWalk walk;
  LOSSD_ROLL for (uint64_t row = 0; row < kBlockElements / kBlockLanes; ++row) {
    ComputeQuad<Ops, kLossKinds, kSecond>(
        segment, input, output,
        first + row * kBlockLanes + kThreadLanes * thread, walk, sums);
  }
  return sums;
}
