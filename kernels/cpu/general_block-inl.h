// The loop for every option there is. A body, included by
// kernels/cpu/block-inl.h.

// Constants of the general loop.
template <class Ops>
struct GeneralScales {
  typename Ops::T gradient;
  typename Ops::T loss_weight;
  typename Ops::T smoothing_factor;  // 1 - e
  typename Ops::T smoothing_offset;  // e / 2
};

// One vector of a staged block. Elements of weight 0, ignored ones among them,
// have loss 0 and gradient 0 whatever the rest says.
template <class Ops, class Loss>
LOSSD_ELEMENT_FN ElementResult<Ops> GeneralStep(
    const Loss& loss, const StagedBlock<typename Ops::T>& staged, uint64_t i,
    bool smooth, const GeneralScales<Ops>& scales, typename Ops::M& nan) {
  using V = typename Ops::V;
  const V x = Ops::Load(staged.logits + i);
  const V w = Ops::Load(staged.weights + i);
  Sides<Ops> sides = SidesOf<Ops>(Ops::Load(staged.targets + i));
  if (smooth) {
    sides =
        Smoothed<Ops>(sides, scales.smoothing_factor, scales.smoothing_offset);
  }
  const ElementResult<Ops> result =
      loss(x, sides, Ops::Load(staged.pos_weights + i));
  nan = Ops::Or(nan, Ops::IsNan(x));
  const V factor = Ops::Mul(Ops::Mul(w, Ops::Set(scales.gradient)),
                            Ops::Load(staged.upstream + i));
  const V zero = Ops::Set(0);
  const typename Ops::M off = Ops::IsZero(w);
  return {
      Ops::Select(off, zero, Ops::Mul(result.loss, w)),
      Ops::Select(off, zero, OneNan<Ops>(Ops::Mul(result.derivative, factor)))};
}

// Stores `count` elements of a vector.
template <class Ops>
LOSSD_ELEMENT_FN void StoreFirst(typename Ops::V values, uint64_t count,
                                 typename Ops::T* to) {
  if (count >= Ops::kWidth) return Ops::Store(values, to);
  alignas(64) typename Ops::T padded[Ops::kWidth];
  Ops::Store(values, padded);
  std::memcpy(to, padded, count * sizeof(typename Ops::T));
}

template <class Ops, class Loss>
void GeneralBlock(const Loss& loss, const StagedBlock<typename Ops::T>& staged,
                  uint64_t n, uint64_t first, bool smooth,
                  const GeneralScales<Ops>& scales, typename Ops::T* gradient,
                  typename Ops::T* losses, BlockPartial& partial) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  alignas(64) double lanes[kBlockLanes] = {};
  typename Ops::M nan = Ops::Never();
  for (uint64_t i = 0; i < n; i += Ops::kWidth) {
    ElementResult<Ops> result =
        GeneralStep<Ops>(loss, staged, i, smooth, scales, nan);
    const uint64_t left = n - i;
    if (gradient != nullptr)
      StoreFirst<Ops>(result.derivative, left, gradient + i);
    if (losses != nullptr) {
      const V scaled = Ops::Mul(result.loss, Ops::Set(scales.loss_weight));
      StoreFirst<Ops>(OneNan<Ops>(scaled), left, losses + i);
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
    NoteNans<T>(staged.logits, n, first, ignored, partial);
  }
}

// Copies a block's logits as the arithmetic's type. float64 logits, and they
// alone, are computed in float64, so nothing is rounded.
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

// Results on their way out, gradient or losses: straight to their place where
// they are stored in the arithmetic's type, else beside it and rounded once.
template <class T>
class Results {
 public:
  // `to` is the segment's memory; null: these results are not wanted.
  Results(ElementType type, std::byte* to) : type_(type), to_(to) {}

  // Where the block that starts at element `first` is computed to, or null.
  T* Begin(uint64_t first) {
    if (to_ == nullptr) return nullptr;
    return IsDirect() ? reinterpret_cast<T*>(to_) + first : beside_;
  }

  // Brings the block's `n` elements to their place.
  void End(uint64_t first, uint64_t n) const {
    if (to_ == nullptr || IsDirect()) return;
    WithStoredFloat(type_, [&](auto stored) {
      auto* const out = reinterpret_cast<decltype(stored)*>(to_) + first;
      for (uint64_t i = 0; i < n; ++i) StoreRounded(beside_[i], out + i);
    });
  }

 private:
  bool IsDirect() const {
    return type_ ==
           (sizeof(T) == 8 ? ElementType::kFloat64 : ElementType::kFloat32);
  }

  const ElementType type_;
  std::byte* const to_;
  alignas(64) T beside_[kBlockElements];
};

template <class Ops, class Loss>
void GeneralBlocks(const Loss& loss, const Segment& segment,
                   typename Ops::T scale, uint64_t first_block,
                   std::span<BlockPartial> partials) {
  using T = typename Ops::T;
  StagedBlock<T> staged;
  PieceCursor logits(segment.logits);
  Stager<T> stager(segment);
  const double smoothing = segment.options.label_smoothing;
  const GeneralScales<Ops> scales = {
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
    // Vectors reach past the last element: let them see numbers.
    for (uint64_t i = n; i % Ops::kWidth != 0; ++i) {
      staged.logits[i] = staged.targets[i] = staged.weights[i] =
          staged.pos_weights[i] = staged.upstream[i] = 0;
    }
    GeneralBlock<Ops>(loss, staged, n, first, smoothing != 0, scales,
                      gradient.Begin(first), losses.Begin(first), partial);
    gradient.End(first, n);
    losses.End(first, n);
    ++block;
  }
}

// The same, with the loss that the segment asks for.
template <class Ops>
void GeneralBlocksOf(const Segment& segment, typename Ops::T scale,
                     uint64_t first_block, std::span<BlockPartial> partials) {
  WithLoss<Ops>(segment.options.kind, ParametersOf(segment.options),
                [&](const auto& loss) {
                  GeneralBlocks<Ops>(loss, segment, scale, first_block,
                                     partials);
                });
}
