// The loop of the requests that are sent most: loss and gradient, nothing else.
// A body, included by kernels/cpu/block-inl.h.

// Elements whose loads and options are as plain as they come: the targets' type
// is the logits' or bytes, and nothing but the loss is asked for.
inline bool IsPlain(const Segment& segment) {
  const LossOptions& options = segment.options;
  const ElementType target = segment.targets.type;
  return options.kind == LossKind::kSigmoidCrossEntropy &&
         (target == segment.logits.type || target == ElementType::kUint8 ||
          target == ElementType::kBool) &&
         !segment.weights.present() && !segment.pos_weight.present() &&
         !segment.upstream.present() && !options.ignore_target &&
         options.label_smoothing == 0 && options.targets_in_unit_interval &&
         segment.losses == nullptr;
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
