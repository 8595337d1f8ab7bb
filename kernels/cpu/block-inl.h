// The block loop of the CPU backend, over an arithmetic policy (element.h).
//
// Like element.h a body without an include guard: each instruction set includes
// it in its own namespace, after element.h.

// Elements whose loads and options are as plain as they come: the targets' type
// is the logits' or bytes, and nothing but the loss is asked for.
inline bool IsPlain(const Segment& segment) {
  const LossOptions& options = segment.options;
  const ElementType target = segment.targets.type;
  return (target == segment.logits.type || target == ElementType::kUint8 ||
          target == ElementType::kBool) &&
         !segment.weights.present() && !segment.pos_weight.present() &&
         !segment.upstream.present() && !options.ignore_target &&
         options.label_smoothing == 0 && options.targets_in_unit_interval &&
         segment.losses == nullptr;
}

// Element `i` of an array at any address.
template <class T>
inline T UnalignedAt(const T* from, uint64_t i) {
  T value;
  std::memcpy(&value, from + i, sizeof(value));
  return value;
}

// Where the next elements of a plain block are, and go. `gradient` may be null.
template <class Ops, class Target>
struct PlainSpan {
  const typename Ops::T* logits;
  const Target* targets;
  typename Ops::T* gradient;
};

// The targets that a plain block has seen. A NaN may go unseen here; it shows
// in the sum of the losses, as every NaN does.
template <class Ops>
struct TargetExtremes {
  typename Ops::V lowest;
  typename Ops::V highest;
};

template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V LoadTarget(const typename Ops::T* from) {
  return Ops::Load(from);
}
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V LoadTarget(const uint8_t* from) {
  return Ops::LoadBytes(from);
}

// One vector of a plain block, of which `mask` counts.
template <class Ops, bool kGradient, class Target>
LOSSD_ELEMENT_FN typename Ops::V PlainStep(const PlainSpan<Ops, Target>& at,
                                           typename Ops::V scale,
                                           TargetExtremes<Ops>& seen) {
  const typename Ops::V x = Ops::Load(at.logits);
  const typename Ops::V t = LoadTarget<Ops>(at.targets);
  const ElementResult<Ops> result = SigmoidCrossEntropy<Ops>(x, t);
  if constexpr (kGradient)
    Ops::Store(Ops::Mul(result.derivative, scale), at.gradient);
  seen.lowest = Ops::Min(seen.lowest, t);
  seen.highest = Ops::Max(seen.highest, t);
  return result.loss;
}

// The last elements of a block, fewer than a vector: through padded copies.
template <class Ops, bool kGradient, class Target>
LOSSD_ELEMENT_FN void PlainTail(const PlainSpan<Ops, Target>& at, int count,
                                typename Ops::V scale, double* lanes,
                                TargetExtremes<Ops>& seen) {
  using T = typename Ops::T;
  alignas(64) T logits[Ops::kWidth] = {};
  alignas(64) Target targets[Ops::kWidth] = {};
  alignas(64) T gradient[Ops::kWidth];
  std::memcpy(logits, at.logits, count * sizeof(T));
  std::memcpy(targets, at.targets, count * sizeof(Target));
  const PlainSpan<Ops, Target> padded = {logits, targets, gradient};
  const typename Ops::V loss = PlainStep<Ops, kGradient>(padded, scale, seen);
  Ops::AddToLanes(Ops::Select(Ops::FirstN(count), loss, Ops::Set(0)), lanes);
  if constexpr (kGradient)
    std::memcpy(at.gradient, gradient, count * sizeof(T));
}

// The span from element `i` on; no gradient stays no gradient.
template <bool kGradient, class Ops, class Target>
LOSSD_ELEMENT_FN PlainSpan<Ops, Target> From(const PlainSpan<Ops, Target>& span,
                                             uint64_t i) {
  return {span.logits + i, span.targets + i,
          kGradient ? span.gradient + i : nullptr};
}

template <class Ops, bool kGradient, class Target>
TargetExtremes<Ops> PlainLoop(const PlainSpan<Ops, Target>& block, uint64_t n,
                              typename Ops::T scale, double* lanes) {
  TargetExtremes<Ops> seen = {Ops::Set(0), Ops::Set(0)};
  const typename Ops::V scale_v = Ops::Set(scale);
  uint64_t i = 0;
  for (; i + Ops::kWidth <= n; i += Ops::kWidth) {
    Ops::AddToLanes(
        PlainStep<Ops, kGradient>(From<kGradient>(block, i), scale_v, seen),
        lanes + i % kBlockLanes);
  }
  if (i < n) {
    PlainTail<Ops, kGradient>(From<kGradient>(block, i),
                              static_cast<int>(n - i), scale_v,
                              lanes + i % kBlockLanes, seen);
  }
  return seen;
}

// One NaN for all backends: its sign and payload are the machine's otherwise.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::V OneNan(typename Ops::V a) {
  const typename Ops::T nan = std::numeric_limits<typename Ops::T>::quiet_NaN();
  return Ops::Select(Ops::IsNan(a), Ops::Set(nan), a);
}

// Counts the NaN logits of valid elements. `gradient`, unless null, gets one
// and the same NaN for each (see OneNan).
template <class T, class IsIgnored>
void NoteNans(const T* logits, uint64_t n, uint64_t first, IsIgnored ignored,
              T* gradient, BlockPartial& partial) {
  for (uint64_t i = 0; i < n; ++i) {
    const T x = UnalignedAt(logits, i);
    if (x == x || ignored(i)) continue;
    if (partial.nan_count++ == 0) partial.first_nan = first + i;
    if (gradient != nullptr && gradient[i] != gradient[i]) {
      gradient[i] = std::numeric_limits<T>::quiet_NaN();
    }
  }
}

// The index in the segment of the first of `n` targets outside [0, 1];
// kNoIndex: none.
template <class Target>
uint64_t FirstBadTarget(const Target* targets, uint64_t n, uint64_t first) {
  for (uint64_t i = 0; i < n; ++i) {
    const Target t = UnalignedAt(targets, i);
    if (!(t >= 0 && t <= 1)) return first + i;
  }
  return kNoIndex;
}

template <class Ops, class Target>
void PlainBlock(const PlainSpan<Ops, Target>& block, uint64_t n, uint64_t first,
                typename Ops::T scale, BlockPartial& partial) {
  alignas(64) double lanes[kBlockLanes] = {};
  const TargetExtremes<Ops> seen =
      block.gradient != nullptr ? PlainLoop<Ops, true>(block, n, scale, lanes)
                                : PlainLoop<Ops, false>(block, n, scale, lanes);
  partial.loss_sum = SumLanes(lanes);
  partial.valid_count = static_cast<uint32_t>(n);
  partial.nonzero_weight_count = static_cast<uint32_t>(n);
  partial.weight_sum = static_cast<double>(n);
  // Every NaN, of logits and of targets, is in the sum: only then is one looked
  // for.
  const bool nan = partial.loss_sum != partial.loss_sum;
  if (nan) {
    NoteNans<typename Ops::T>(
        block.logits, n, first, [](uint64_t) { return false; }, block.gradient,
        partial);
  }
  if (nan || Ops::AnyOutsideUnitInterval(seen.lowest, seen.highest)) {
    partial.first_bad_target = FirstBadTarget(block.targets, n, first);
  }
}

template <class Ops, class Target>
void PlainBlocks(const Segment& segment, typename Ops::T scale,
                 uint64_t first_block, std::span<BlockPartial> partials) {
  using T = typename Ops::T;
  alignas(64) std::byte logits_scratch[kBlockElements * sizeof(T)];
  alignas(64) std::byte targets_scratch[kBlockElements * sizeof(Target)];
  PieceCursor logits(segment.logits);
  PieceCursor targets(segment.targets);
  uint64_t first = first_block * kBlockElements;
  for (BlockPartial& partial : partials) {
    partial = BlockPartial();
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    // Elements may lie at any address; every load of Ops is an unaligned one.
    const PlainSpan<Ops, Target> block = {
        reinterpret_cast<const T*>(
            logits.Fetch(first * sizeof(T), n * sizeof(T), logits_scratch)),
        reinterpret_cast<const Target*>(targets.Fetch(
            first * sizeof(Target), n * sizeof(Target), targets_scratch)),
        segment.gradient == nullptr
            ? nullptr
            : reinterpret_cast<T*>(segment.gradient) + first};
    PlainBlock<Ops>(block, n, first, scale, partial);
    first += n;
  }
}

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
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> GeneralStep(
    const StagedBlock<typename Ops::T>& staged, uint64_t i, bool smooth,
    const GeneralScales<Ops>& scales, typename Ops::M& nan) {
  using V = typename Ops::V;
  const V x = Ops::Load(staged.logits + i);
  const V w = Ops::Load(staged.weights + i);
  Sides<Ops> sides = SidesOf<Ops>(Ops::Load(staged.targets + i));
  if (smooth) {
    sides =
        Smoothed<Ops>(sides, scales.smoothing_factor, scales.smoothing_offset);
  }
  const ElementResult<Ops> result = WeightedSigmoidCrossEntropy<Ops>(
      x, sides, Ops::Load(staged.pos_weights + i));
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

template <class Ops>
void GeneralBlock(const StagedBlock<typename Ops::T>& staged, uint64_t n,
                  uint64_t first, bool smooth, const GeneralScales<Ops>& scales,
                  typename Ops::T* gradient, typename Ops::T* losses,
                  BlockPartial& partial) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  alignas(64) double lanes[kBlockLanes] = {};
  typename Ops::M nan = Ops::Never();
  for (uint64_t i = 0; i < n; i += Ops::kWidth) {
    ElementResult<Ops> result =
        GeneralStep<Ops>(staged, i, smooth, scales, nan);
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
    NoteNans<T>(staged.logits, n, first, ignored, nullptr, partial);
  }
}

template <class Ops>
void GeneralBlocks(const Segment& segment, typename Ops::T scale,
                   uint64_t first_block, std::span<BlockPartial> partials) {
  using T = typename Ops::T;
  StagedBlock<T> staged;
  PieceCursor logits(segment.logits);
  Stager<T> stager(segment);
  const double smoothing = segment.options.label_smoothing;
  const GeneralScales<Ops> scales = {
      scale, static_cast<T>(segment.options.loss_weight),
      static_cast<T>(1 - smoothing), static_cast<T>(smoothing / 2)};
  auto* const gradient = reinterpret_cast<T*>(segment.gradient);
  auto* const losses = reinterpret_cast<T*>(segment.losses);
  uint64_t block = first_block;
  for (BlockPartial& partial : partials) {
    partial = BlockPartial();
    const uint64_t first = block * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    auto* const to = reinterpret_cast<std::byte*>(staged.logits);
    const std::byte* from = logits.Fetch(first * sizeof(T), n * sizeof(T), to);
    if (from != to) std::memcpy(to, from, n * sizeof(T));
    stager.Stage(block, /*all=*/true, staged, partial);
    // Vectors reach past the last element: let them see numbers.
    for (uint64_t i = n; i % Ops::kWidth != 0; ++i) {
      staged.logits[i] = staged.targets[i] = staged.weights[i] =
          staged.pos_weights[i] = staged.upstream[i] = 0;
    }
    GeneralBlock<Ops>(staged, n, first, smoothing != 0, scales,
                      gradient == nullptr ? nullptr : gradient + first,
                      losses == nullptr ? nullptr : losses + first, partial);
    ++block;
  }
}

template <class Ops>
void BlocksOf(const Segment& segment, double gradient_scale,
              uint64_t first_block, std::span<BlockPartial> partials) {
  using T = typename Ops::T;
  const T scale = static_cast<T>(gradient_scale);
  // An infinite scale makes a NaN of a derivative of 0: only the general loop
  // minds.
  if (!IsPlain(segment) || !std::isfinite(scale)) {
    GeneralBlocks<Ops>(segment, scale, first_block, partials);
  } else if (segment.targets.type == segment.logits.type) {
    PlainBlocks<Ops, T>(segment, scale, first_block, partials);
  } else {
    PlainBlocks<Ops, uint8_t>(segment, scale, first_block, partials);
  }
}
