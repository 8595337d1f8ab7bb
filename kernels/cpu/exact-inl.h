// The exact loop: it computes every segment that the server accepts. Its
// counterpart fast-inl.h computes the usual segments and blocks with fewer
// steps to the same bits.
//
// This file is a body without an include guard. Each instruction set includes
// it in its own namespace, after kernels/element/element-inl.h, its policy and
// element_type/half-inl.h (or half.h).

// Returns element `i` of an array at any address.
template <class T>
inline T UnalignedAt(const T* from, uint64_t i) {
  T value;
  std::memcpy(&value, from + i, sizeof(value));
  return value;
}

// Replaces every NaN by the canonical one of its type. The sign and the payload
// of a computed NaN depend on the machine.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V CanonicalNan(typename Ops::V a) {  // D9
  const typename Ops::T nan = std::numeric_limits<typename Ops::T>::quiet_NaN();
  return Ops::Select(Ops::IsNan(a), Ops::Set(nan), a);
}

// Counts the NaN logits of valid elements.
template <class T, class IsIgnored>
void CountNans(const T* logits, uint64_t n, uint64_t first, IsIgnored ignored,
               BlockPartial& partial) {
  for (uint64_t i = 0; i < n; ++i) {
    if (logits[i] == logits[i] || ignored(i)) continue;
    if (partial.nan_count++ == 0) partial.first_nan = first + i;
  }
}

// The segment's constants, in the arithmetic's type.
template <class Ops>
struct ExactScales {
  typename Ops::T gradient;
  typename Ops::T loss_weight;
  typename Ops::T smoothing_factor;  // 1 - e
  typename Ops::T smoothing_offset;  // e / 2
};

// Computes the vector at element `i` of a staged block. Elements of weight 0,
// which include the ignored ones, have loss 0 and gradient 0 whatever their
// other inputs are.
template <class Ops, class Loss>
LOSSD_ELEMENT_FN ElementResult<Ops> ExactStep(
    const Loss& loss, const StagedBlock<typename Ops::T>& staged, uint64_t i,
    bool smooth, const ExactScales<Ops>& scales, typename Ops::M& nan) {
  using V = typename Ops::V;
  const V x = Ops::Load(staged.logits + i);
  const V w = Ops::Load(staged.weights + i);
  TargetPair<Ops> target = TargetPairOf<Ops>(Ops::Load(staged.targets + i));
  if (smooth) {
    target =
        Smoothed<Ops>(target, scales.smoothing_factor, scales.smoothing_offset);
  }
  const ElementResult<Ops> result =
      loss(x, target, Ops::Load(staged.pos_weights + i));
  nan = Ops::Or(nan, Ops::IsNan(x));
  const V factor = Ops::Mul(Ops::Mul(w, Ops::Set(scales.gradient)),
                            Ops::Load(staged.upstream + i));
  const V zero = Ops::Set(0);
  const typename Ops::M off = Ops::IsZero(w);
  return {Ops::Select(off, zero, Ops::Mul(result.loss, w)),
          Ops::Select(off, zero,
                      CanonicalNan<Ops>(Ops::Mul(result.derivative, factor)))};
}

// Stores the first `count` elements of a vector.
template <class Ops>
LOSSD_ELEMENT_FN void StoreFirst(typename Ops::V values, uint64_t count,
                                 typename Ops::T* to) {
  if (count >= Ops::kWidth) return Ops::Store(values, to);
  alignas(64) typename Ops::T padded[Ops::kWidth];
  Ops::Store(values, padded);
  std::memcpy(to, padded, count * sizeof(typename Ops::T));
}

// Computes one staged block of `n` elements; element 0 of the block is element
// `first` of the segment. `gradient` and `losses` are null where they are not
// wanted.
template <class Ops, class Loss>
void ExactBlock(const Loss& loss, const StagedBlock<typename Ops::T>& staged,
                uint64_t n, uint64_t first, bool smooth,
                const ExactScales<Ops>& scales, typename Ops::T* gradient,
                typename Ops::T* losses, BlockPartial& partial) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  alignas(64) double lanes[kBlockLanes] = {};
  typename Ops::M nan = Ops::Never();
  for (uint64_t i = 0; i < n; i += Ops::kWidth) {
    ElementResult<Ops> result =
        ExactStep<Ops>(loss, staged, i, smooth, scales, nan);
    const uint64_t left = n - i;
    if (gradient != nullptr)
      StoreFirst<Ops>(result.derivative, left, gradient + i);
    if (losses != nullptr) {
      const V scaled = Ops::Mul(result.loss, Ops::Set(scales.loss_weight));
      StoreFirst<Ops>(CanonicalNan<Ops>(scaled), left, losses + i);
    }
    if (left < Ops::kWidth) {
      result.loss = Ops::Select(Ops::FirstN(static_cast<int>(left)),
                                result.loss, Ops::Set(0));
    }
    Ops::AddToLanes(result.loss, lanes + i % kBlockLanes);
  }
  partial.loss_sum = SumLanes(lanes);
  if (Ops::Any(nan)) {
    const auto ignored = [&](uint64_t i) {
      return staged.targets[i] == StagedBlock<T>::kIgnored;
    };
    CountNans<T>(staged.logits, n, first, ignored, partial);
  }
}

// Copies a block's logits as the arithmetic's type. Only float64 logits are
// computed in float64, so no conversion rounds.
template <class T>
void CopyLogits(PieceCursor& logits, ElementType type, uint64_t first,
                uint64_t n, T* to) {
  alignas(64) std::byte scratch[kBlockElements * sizeof(T)];
  const std::byte* from =
      logits.Fetch(ByteSize(type, first), ByteSize(type, n), scratch);
  WithStoredFloat(type, [&](auto stored) {
    const auto* const elements =
        reinterpret_cast<const decltype(stored)*>(from);
    for (uint64_t i = 0; i < n; ++i)
      to[i] = Loaded<T>(UnalignedAt(elements, i));
  });
}

// The destination of a block's gradient or losses. Results of the arithmetic's
// type are written straight to the segment's memory; those of another type go
// to a buffer first and are rounded once.
template <class T>
class Results {
 public:
  // `to` is the segment's memory, or null where these results are not wanted.
  Results(ElementType type, std::byte* to) : type_(type), to_(to) {}

  // Returns where to write the results of the block that starts at element
  // `first`, or null.
  T* Begin(uint64_t first) {
    if (to_ == nullptr) return nullptr;
    return IsDirect() ? reinterpret_cast<T*>(to_) + first : buffer_;
  }

  // Moves the block's `n` results to the segment's memory. Call it once they
  // are written.
  void End(uint64_t first, uint64_t n) const {
    if (to_ == nullptr || IsDirect()) return;
    WithStoredFloat(type_, [&](auto stored) {
      auto* const out = reinterpret_cast<decltype(stored)*>(to_) + first;
      for (uint64_t i = 0; i < n; ++i) StoreRounded(buffer_[i], out + i);
    });
  }

 private:
  bool IsDirect() const {
    return type_ ==
           (sizeof(T) == 8 ? ElementType::kFloat64 : ElementType::kFloat32);
  }

  const ElementType type_;
  std::byte* const to_;
  alignas(64) T buffer_[kBlockElements];
};

// Computes the blocks with a given loss.
template <class Ops, class Loss>
void ExactBlocks(const Loss& loss, const Segment& segment,
                 typename Ops::T scale, uint64_t first_block,
                 std::span<BlockPartial> partials) {
  using T = typename Ops::T;
  StagedBlock<T> staged;
  PieceCursor logits(segment.logits);
  Stager<T> stager(segment);
  const double smoothing = segment.options.label_smoothing;
  const ExactScales<Ops> scales = {
      scale, static_cast<T>(segment.options.loss_weight),
      static_cast<T>(1 - smoothing), static_cast<T>(smoothing / 2)};
  Results<T> gradient(segment.gradient_type, segment.gradient);
  Results<T> losses(segment.logits.type, segment.losses);
  uint64_t block = first_block;
  for (BlockPartial& partial : partials) {
    partial = BlockPartial();
    const uint64_t first = block * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    CopyLogits(logits, segment.logits.type, first, n, staged.logits);
    stager.Stage(block, /*all=*/true, staged, partial);
    // The last vector may reach past the last element. It reads zeros there.
    for (uint64_t i = n; i % Ops::kWidth != 0; ++i) {
      staged.logits[i] = staged.targets[i] = staged.weights[i] =
          staged.pos_weights[i] = staged.upstream[i] = 0;
    }
    ExactBlock<Ops>(loss, staged, n, first, smoothing != 0, scales,
                    gradient.Begin(first), losses.Begin(first), partial);
    gradient.End(first, n);
    losses.End(first, n);
    ++block;
  }
}

// Computes the blocks from `first_block` on with the loss that the segment asks
// for; partials[k] is of block first_block + k.
template <class Ops>
void ComputeExact(const Segment& segment, typename Ops::T scale,
                  uint64_t first_block, std::span<BlockPartial> partials) {
  WithLoss<Ops>(segment.options.kind, ParametersOf(segment.options),
                [&](const auto& loss) {
                  ExactBlocks<Ops>(loss, segment, scale, first_block, partials);
                });
}
