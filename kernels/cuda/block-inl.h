// What one thread of a warp does with its elements of a block. A body without
// an include guard, like element.h, after which it is included: by the kernel,
// and by a host that computes a packed batch in place of a device. The includer
// also defines LOSSD_UNROLL, what stands before a loop over the lanes: a device
// keeps lanes in registers only where such loops are unrolled.
//
// Together the 32 threads hold the kBlockLanes lanes of a block, four each: in
// row r, thread k has elements 128 r + 4 k .. + 3. The arithmetic is that of
// the CPU's general loop, operation by operation; an option that is absent is
// the value that changes no bit (weight 1, upstream 1).

inline constexpr int kThreadLanes = 4;

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

template <class T>
LOSSD_ELEMENT_FN T At(const std::byte* base, uint64_t index) {
  return reinterpret_cast<const T*>(base)[index];
}

// Target `index` as float64, which holds every type but large int64 values
// exactly; those are out of range for the loss in any case.
LOSSD_ELEMENT_FN double TargetAt(const PackedSegment& segment,
                                 const std::byte* input, uint64_t index) {
  const std::byte* base = input + segment.targets;
  switch (segment.targets_type) {
    case ElementType::kFloat32:
      return At<float>(base, index);
    case ElementType::kFloat64:
      return At<double>(base, index);
    case ElementType::kUint8:
    case ElementType::kBool:
      return At<uint8_t>(base, index);
    case ElementType::kBit:
      return (At<uint8_t>(base, index / 8) >> (index % 8)) & 1;
    case ElementType::kInt32:
      return At<int32_t>(base, index);
    case ElementType::kInt64:
      return static_cast<double>(At<int64_t>(base, index));
    default:  // validation refuses the half types
      return 0;
  }
}

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
  const std::byte* base = input + operand.offset;
  return operand.type == ElementType::kFloat32
             ? static_cast<T>(At<float>(base, position))
             : static_cast<T>(At<double>(base, position));
}

template <class T>
LOSSD_ELEMENT_FN bool IsGoodTarget(const PackedSegment& segment, double t) {
  if (segment.targets_in_unit_interval) return t >= 0 && t <= 1;
  const T rounded = static_cast<T>(t);
  return rounded - rounded == 0;  // finite
}

// One NaN for all backends: its sign and payload are the machine's otherwise.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::T OneNan(typename Ops::T a) {
  return a == a ? a : Ops::CanonicalNan();
}

// What an element yields: what goes into the sum, and what goes out.
template <class T>
struct ElementOutput {
  T loss;
  T gradient;
};

// Element `index` of a segment; notes in `sums` everything but the loss and the
// weight.
template <class Ops>
LOSSD_ELEMENT_FN ElementOutput<typename Ops::T> ComputeElement(
    const PackedSegment& segment, const std::byte* input, uint64_t index,
    typename Ops::T x, int lane, ThreadSums& sums) {
  using T = typename Ops::T;
  const double wide = TargetAt(segment, input, index);
  if (segment.ignores && wide == segment.ignore_target) return {0, 0};
  if (!IsGoodTarget<T>(segment, wide) && sums.first_bad_target == kNoIndex) {
    sums.first_bad_target = index;
  }
  const T w = OperandAt<T>(segment, segment.weights, input, index);
  ++sums.valid_count;
  sums.nonzero_weight_count += w != 0 ? 1 : 0;
  sums.weight[lane] += static_cast<double>(w);
  if (x != x && sums.nan_count++ == 0) sums.first_nan = index;
  if (w == 0) return {0, 0};

  Sides<Ops> sides = SidesOf<Ops>(static_cast<T>(wide));
  if (segment.label_smoothing != 0) {
    sides = Smoothed<Ops>(sides, static_cast<T>(1 - segment.label_smoothing),
                          static_cast<T>(segment.label_smoothing / 2));
  }
  const T q = OperandAt<T>(segment, segment.pos_weight, input, index);
  const ElementResult<Ops> result =
      WithLoss<Ops>(segment.kind, segment.parameters,
                    [&](const auto& loss) { return loss(x, sides, q); });
  const T scale = static_cast<T>(segment.gradient_scale);
  const T factor =
      Ops::Mul(Ops::Mul(w, scale),
               OperandAt<T>(segment, segment.upstream, input, index));
  return {Ops::Mul(result.loss, w),
          OneNan<Ops>(Ops::Mul(result.derivative, factor))};
}

// Four neighbours, loaded and stored as one (kTensorAlignment makes that
// possible).
template <class T>
struct alignas(16) Quad {
  T values[kThreadLanes];
};

// Loops run over all four lanes and skip those past the end: a loop of unknown
// length cannot be unrolled.
template <class T>
LOSSD_ELEMENT_FN Quad<T> LoadQuad(const std::byte* base, uint64_t first,
                                  uint64_t left) {
  if (left >= kThreadLanes) return At<Quad<T>>(base, first / kThreadLanes);
  Quad<T> quad = {};
  LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
    if (static_cast<uint64_t>(k) < left)
      quad.values[k] = At<T>(base, first + k);
  }
  return quad;
}

template <class T>
LOSSD_ELEMENT_FN void StoreQuad(const Quad<T>& quad, std::byte* base,
                                uint64_t first, uint64_t left) {
  T* const to = reinterpret_cast<T*>(base) + first;
  if (left >= kThreadLanes) {
    *reinterpret_cast<Quad<T>*>(to) = quad;
    return;
  }
  LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
    if (static_cast<uint64_t>(k) < left) to[k] = quad.values[k];
  }
}

// A thread's elements of one row. `first` is the index of its first element.
template <class Ops>
LOSSD_ELEMENT_FN void ComputeQuad(const PackedSegment& segment,
                                  const PackedBatch& batch, uint64_t first,
                                  ThreadSums& sums) {
  using T = typename Ops::T;
  if (first >= segment.element_count) return;
  const uint64_t left = segment.element_count - first;
  const Quad<T> x = LoadQuad<T>(batch.input + segment.logits, first, left);
  Quad<T> gradient = {};
  Quad<T> losses = {};
  LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
    if (static_cast<uint64_t>(k) >= left) continue;
    const ElementOutput<T> output = ComputeElement<Ops>(
        segment, batch.input, first + k, x.values[k], k, sums);
    sums.loss[k] += static_cast<double>(output.loss);
    gradient.values[k] = output.gradient;
    losses.values[k] =
        OneNan<Ops>(Ops::Mul(output.loss, static_cast<T>(segment.loss_weight)));
  }
  if (segment.gradient != kNoIndex) {
    StoreQuad(gradient, batch.output + segment.gradient, first, left);
  }
  if (segment.losses != kNoIndex) {
    StoreQuad(losses, batch.output + segment.losses, first, left);
  }
}

// All rows of thread `thread` of the block that starts at element `first`.
template <class Ops>
LOSSD_ELEMENT_FN ThreadSums ComputeThread(const PackedSegment& segment,
                                          const PackedBatch& batch,
                                          uint64_t first, int thread) {
  ThreadSums sums;
  for (uint64_t row = 0; row < kBlockElements / kBlockLanes; ++row) {
    ComputeQuad<Ops>(segment, batch,
                     first + row * kBlockLanes + kThreadLanes * thread, sums);
  }
  return sums;
}
