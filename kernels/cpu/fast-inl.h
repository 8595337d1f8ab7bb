// The fast loop: it computes the requests that are sent most, a loss and its
// gradient without any option. It gives up on a block that has a NaN, an
// infinite logit or a target out of range, and the exact loop computes that
// block again. Where both loops have an answer, the bits are the same (D10).
//
// This file is a body without an include guard. Each instruction set includes
// it in its own namespace, after exact-inl.h and early_part-inl.h.

// The structs below load and store vectors of a stored type. Element `i` of a
// block is the first of a vector; `base` has any alignment. Bytes() is the size
// of `n` elements.
template <class Ops>
struct StoredAsComputed {
  using T = typename Ops::T;
  static constexpr uint64_t Bytes(uint64_t n) { return n * sizeof(T); }
  LOSSD_ELEMENT_FN static typename Ops::V Load(const std::byte* base,
                                               uint64_t i) {
    return Ops::Load(reinterpret_cast<const T*>(base) + i);
  }
  LOSSD_ELEMENT_FN static void Store(typename Ops::V values, std::byte* base,
                                     uint64_t i) {
    Ops::Store(values, reinterpret_cast<T*>(base) + i);
  }
};

template <class Ops>
struct StoredAsBFloat16 {
  static constexpr uint64_t Bytes(uint64_t n) { return n * 2; }
  LOSSD_ELEMENT_FN static typename Ops::V Load(const std::byte* base,
                                               uint64_t i) {
    return Ops::LoadBFloat16(reinterpret_cast<const uint16_t*>(base) + i);
  }
  LOSSD_ELEMENT_FN static void Store(typename Ops::V values, std::byte* base,
                                     uint64_t i) {
    Ops::StoreBFloat16(values, reinterpret_cast<uint16_t*>(base) + i);
  }
};

template <class Ops>
struct StoredAsBytes {
  static constexpr uint64_t Bytes(uint64_t n) { return n; }
  LOSSD_ELEMENT_FN static typename Ops::V Load(const std::byte* base,
                                               uint64_t i) {
    return Ops::LoadBytes(reinterpret_cast<const uint8_t*>(base) + i);
  }
};

template <class Ops>
struct StoredAsBits {
  static constexpr uint64_t Bytes(uint64_t n) { return (n + 7) / 8; }
  LOSSD_ELEMENT_FN static typename Ops::M Load(const std::byte* base,
                                               uint64_t i) {
    return Ops::LoadBits(reinterpret_cast<const uint8_t*>(base), i);
  }
};

// The memory of one block.
struct FastBlock {
  const std::byte* logits;
  const std::byte* targets;
  std::byte* gradient;  // not null with FastOutput::kGradient
  std::byte* second;    // not null with FastOutput::kSecondDerivative
};

// The results that a loop writes beside the sum of the losses.
enum class FastOutput {
  kNothing,
  kGradient,
  kSecondDerivative,  // and the gradient
};

// The distance of prefetching. It makes the loop a fifth faster from main
// memory, as the machine's own prefetching stops at every page; a distance of
// 512 or 8192 bytes gains half of that (D13).
inline constexpr uint64_t kPrefetchBytes = 2048;

// Prefetches the cache lines that hold `bytes` bytes, kPrefetchBytes after
// `from`. They may lie past the end of the array: a prefetch never faults.
template <bool kWrite>
LOSSD_ELEMENT_FN void PrefetchAhead(const std::byte* from, uint64_t bytes) {
  for (uint64_t line = 0; line < bytes; line += 64) {
    __builtin_prefetch(from + kPrefetchBytes + line, kWrite ? 1 : 0);
  }
}

// Returns the loss of an element whose logit is finite, or whose block is
// computed again.
template <class Ops, bool kSecond, class Loss>
LOSSD_ELEMENT_FN ElementResult<Ops> FastElement(const Loss& loss,
                                                typename Ops::V x,
                                                typename Ops::V t,
                                                const SoftplusResult<Ops>& s) {
  return loss.template At<kSecond>(x, TargetPairOf<Ops>(t), Ops::Set(1), s);
}

// Returns the cross-entropy without the steps that only infinite logits need.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN ElementResult<Ops> FastElement(const CrossEntropyLoss<Ops>&,
                                                typename Ops::V x,
                                                typename Ops::V t,
                                                const ExpResult<Ops>& z) {
  return SigmoidCrossEntropy<Ops, kSecond>(x, t, z);
}

// Returns the cross-entropy for packed targets, which can only be 0 or 1.
template <class Ops, bool kSecond>
LOSSD_ELEMENT_FN ElementResult<Ops> FastElement(const CrossEntropyLoss<Ops>&,
                                                typename Ops::V x,
                                                typename Ops::M positive,
                                                const ExpResult<Ops>& z) {
  return HardSigmoidCrossEntropy<Ops, kSecond>(x, positive, z);
}

// Computes the vector at element `i` of a block: stores its derivatives,
// returns its losses and collects the targets' bits in `seen`.
template <class Ops, class Logits, class Targets, FastOutput kOutput,
          class Loss, class Early>
LOSSD_ELEMENT_FN typename Ops::V FastStep(const Loss& loss,
                                          const FastBlock& block, uint64_t i,
                                          const Early& early,
                                          typename Ops::V scale,
                                          typename Ops::V& seen) {
  constexpr bool kSecond = kOutput == FastOutput::kSecondDerivative;
  const auto t = Targets::Load(block.targets, i);
  const ElementResult<Ops> result =
      FastElement<Ops, kSecond>(loss, Logits::Load(block.logits, i), t, early);
  if constexpr (kOutput != FastOutput::kNothing) {
    Logits::Store(Ops::Mul(result.derivative, scale), block.gradient, i);
  }
  if constexpr (kSecond) {
    Logits::Store(Ops::Mul(result.second, scale), block.second, i);
  }
  if constexpr (std::is_same_v<decltype(t), const typename Ops::V>) {
    seen = Ops::MaxOfBits(seen, t);
  }
  return result.loss;
}

// Computes the last `count` elements of a block, fewer than a vector, through
// padded copies.
template <class Ops, class Logits, class Targets, FastOutput kOutput,
          class Loss>
LOSSD_ELEMENT_FN void FastTail(const Loss& loss, const FastBlock& block,
                               uint64_t first, uint64_t count,
                               typename Ops::V scale, typename Ops::V& seen,
                               double* lanes) {
  alignas(64) std::byte logits[Logits::Bytes(Ops::kWidth)] = {};
  alignas(64) std::byte targets[Targets::Bytes(Ops::kWidth)] = {};
  alignas(64) std::byte gradient[Logits::Bytes(Ops::kWidth)];
  alignas(64) std::byte second[Logits::Bytes(Ops::kWidth)];
  std::memcpy(logits, block.logits + Logits::Bytes(first),
              Logits::Bytes(count));
  std::memcpy(targets, block.targets + Targets::Bytes(first),
              Targets::Bytes(count));
  const auto early = EarlyPart<Ops, Loss>::Of(Logits::Load(logits, 0));
  const typename Ops::V losses = FastStep<Ops, Logits, Targets, kOutput>(
      loss, {logits, targets, gradient, second}, 0, early, scale, seen);
  Ops::AddToLanes(
      Ops::Select(Ops::FirstN(static_cast<int>(count)), losses, Ops::Set(0)),
      lanes);
  if constexpr (kOutput != FastOutput::kNothing) {
    std::memcpy(block.gradient + Logits::Bytes(first), gradient,
                Logits::Bytes(count));
  }
  if constexpr (kOutput == FastOutput::kSecondDerivative) {
    std::memcpy(block.second + Logits::Bytes(first), second,
                Logits::Bytes(count));
  }
}

// Prefetches what the loop reads and writes kPrefetchBytes after the vector at
// element `i`.
template <class Ops, class Logits, class Targets, FastOutput kOutput>
LOSSD_ELEMENT_FN void PrefetchVector(const FastBlock& block, uint64_t i) {
  constexpr uint64_t kBytes = Logits::Bytes(Ops::kWidth);
  PrefetchAhead<false>(block.logits + Logits::Bytes(i), kBytes);
  PrefetchAhead<false>(block.targets + Targets::Bytes(i),
                       Targets::Bytes(Ops::kWidth));
  if constexpr (kOutput != FastOutput::kNothing) {
    PrefetchAhead<true>(block.gradient + Logits::Bytes(i), kBytes);
  }
  if constexpr (kOutput == FastOutput::kSecondDerivative) {
    PrefetchAhead<true>(block.second + Logits::Bytes(i), kBytes);
  }
}

// Computes the whole vectors of a block of `n` elements. Returns the index of
// the first element that is left.
template <class Ops, class Logits, class Targets, FastOutput kOutput,
          class Loss>
LOSSD_ELEMENT_FN uint64_t FastVectors(const Loss& loss, const FastBlock& block,
                                      uint64_t n, typename Ops::V scale,
                                      typename Ops::V& seen, double* lanes) {
  constexpr uint64_t kWidth = Ops::kWidth;
  using Early = EarlyPart<Ops, Loss>;
  constexpr uint64_t kAhead = Ops::kStepsAhead * kWidth;
  static_assert(kAhead + kWidth <= kBlockLanes);
  typename Early::Kept kept;
  const uint64_t end = n - n % kWidth;
  for (uint64_t i = 0; i < std::min(kAhead, end); i += kWidth) {
    Early::Keep(Early::Of(Logits::Load(block.logits, i)), i, kept);
  }
  for (uint64_t i = 0; i < end; i += kWidth) {
    PrefetchVector<Ops, Logits, Targets, kOutput>(block, i);
    typename Early::Part early;
    if constexpr (kAhead == 0) {
      early = Early::Of(Logits::Load(block.logits, i));
    } else {
      const uint64_t next = i + kAhead;
      if (next < end) {
        Early::Keep(Early::Of(Logits::Load(block.logits, next)), next, kept);
      }
      early = Early::Recall(kept, i);
    }
    Ops::AddToLanes(FastStep<Ops, Logits, Targets, kOutput>(loss, block, i,
                                                            early, scale, seen),
                    lanes + i % kBlockLanes);
  }
  return end;
}

// Computes a block of `n` elements and fills in its partial. Returns false if
// the fast loop has no answer for the block: partial and derivatives are then
// to be computed again.
template <class Ops, class Logits, class Targets, FastOutput kOutput,
          class Loss>
bool ComputeFastBlock(const Loss& loss, const FastBlock& block, uint64_t n,
                      typename Ops::T scale, BlockPartial& partial) {
  alignas(64) double lanes[kBlockLanes] = {};
  typename Ops::V seen = Ops::Set(0);
  const typename Ops::V scale_v = Ops::Set(scale);
  const uint64_t i = FastVectors<Ops, Logits, Targets, kOutput>(
      loss, block, n, scale_v, seen, lanes);
  if (i < n) {
    FastTail<Ops, Logits, Targets, kOutput>(loss, block, i, n - i, scale_v,
                                            seen, lanes + i % kBlockLanes);
  }
  partial.loss_sum = SumLanes(lanes);
  partial.valid_count = static_cast<uint32_t>(n);
  partial.nonzero_weight_count = static_cast<uint32_t>(n);
  partial.weight_sum = static_cast<double>(n);
  // A NaN makes the sum a NaN. An infinite logit makes it infinite or, where
  // its loss should be 0, a NaN.
  return std::isfinite(partial.loss_sum) && !Ops::AnyAboveOneByBits(seen);
}

// Computes the blocks, each by the exact loop where the fast one gives up.
template <class Ops, class Logits, class Targets, FastOutput kOutput,
          class Loss>
void FastBlocks(const Loss& loss, const Segment& segment, typename Ops::T scale,
                uint64_t first_block, std::span<BlockPartial> partials) {
  alignas(64) std::byte logits_scratch[Logits::Bytes(kBlockElements)];
  alignas(64) std::byte targets_scratch[Targets::Bytes(kBlockElements)];
  PieceCursor logits(segment.logits);
  PieceCursor targets(segment.targets);
  for (uint64_t k = 0; k < partials.size(); ++k) {
    const uint64_t first = (first_block + k) * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    FastBlock block = {
        logits.Fetch(Logits::Bytes(first), Logits::Bytes(n), logits_scratch),
        targets.Fetch(Targets::Bytes(first), Targets::Bytes(n),
                      targets_scratch),
        nullptr, nullptr};
    partials[k] = BlockPartial();
    if constexpr (kOutput != FastOutput::kNothing) {
      block.gradient = segment.gradient + Logits::Bytes(first);
    }
    if constexpr (kOutput == FastOutput::kSecondDerivative) {
      block.second = segment.second_derivative + Logits::Bytes(first);
    }
    if (!ComputeFastBlock<Ops, Logits, Targets, kOutput>(loss, block, n, scale,
                                                         partials[k])) {
      ComputeExact<typename Ops::Single>(segment, scale, first_block + k,
                                         partials.subspan(k, 1));
    }
  }
}

// Calls `use` with the structs that load the segment's logits and targets, and
// returns its result; returns false if the fast loop has no code for these
// types. Ops is the policy of the logits' arithmetic.
template <class Ops, class Use>
bool WithFastTypes(const Segment& segment, Use use) {
  const ElementType logits = segment.logits.type;
  const ElementType targets = segment.targets.type;
  const bool bytes =
      targets == ElementType::kUint8 || targets == ElementType::kBool;
  const bool bits = targets == ElementType::kBit;
  using Computed = StoredAsComputed<Ops>;
  if constexpr (sizeof(typename Ops::T) == 4) {
    using Halves = StoredAsBFloat16<Ops>;
    if (logits == ElementType::kBFloat16) {
      if (bits) return use.template operator()<Halves, StoredAsBits<Ops>>();
      if (bytes) return use.template operator()<Halves, StoredAsBytes<Ops>>();
      return false;
    }
    if (logits == ElementType::kFloat32 && bits) {
      return use.template operator()<Computed, StoredAsBits<Ops>>();
    }
  }
  if (logits != ElementType::kFloat32 && logits != ElementType::kFloat64) {
    return false;
  }
  if (targets == logits) return use.template operator()<Computed, Computed>();
  if (bytes) return use.template operator()<Computed, StoredAsBytes<Ops>>();
  return false;
}

// Returns true if the segment asks for nothing but the loss and, in the logits'
// type, its gradient and perhaps its second derivative.
inline bool IsFast(const Segment& segment) {
  const LossOptions& options = segment.options;
  return segment.targets.present() && !segment.weights.present() &&
         !segment.pos_weight.present() && !segment.upstream.present() &&
         !options.ignore_target && options.label_smoothing == 0 &&
         options.targets_in_unit_interval && segment.losses == nullptr &&
         segment.row_sums == nullptr &&
         (segment.gradient != nullptr ||
          segment.second_derivative == nullptr) &&
         (segment.gradient == nullptr ||
          segment.gradient_type == segment.logits.type);
}

// True if the losses with powers have a fast loop for these types. Each
// combination of loss and types is compiled by itself, and losses with powers
// are long: they have a fast loop only for the types that are sent most. The
// cross-entropy has one for all types.
template <class Logits, class Targets>
inline constexpr bool kHasPowers = false;
template <class Ops>
inline constexpr bool kHasPowers<StoredAsComputed<Ops>, StoredAsComputed<Ops>> =
    sizeof(typename Ops::T) == 4;
template <class Ops>
inline constexpr bool kHasPowers<StoredAsComputed<Ops>, StoredAsBytes<Ops>> =
    sizeof(typename Ops::T) == 4;

// True for the losses with powers that are sent most.
template <class Ops, class Loss>
inline constexpr bool kIsUsualPower =
    std::is_same_v<Loss, FocalLoss<Ops, false>> ||
    std::is_same_v<Loss, AsymmetricLoss<Ops, false>> ||
    std::is_same_v<Loss, AsymmetricMarginLoss<Ops>>;

// Computes the blocks if there is a fast loop for the loss, the types and the
// results that are wanted; else returns false.
template <class Ops, class Logits, class Targets, class Loss>
bool ComputeByFastLoop(const Loss& loss, const Segment& segment,
                       typename Ops::T scale, uint64_t first_block,
                       std::span<BlockPartial> partials) {
  constexpr bool is_entropy = std::is_same_v<Loss, CrossEntropyLoss<Ops>>;
  constexpr bool has_loop =
      is_entropy || (kHasPowers<Logits, Targets> && kIsUsualPower<Ops, Loss>);
  if (segment.second_derivative != nullptr) {
    if constexpr (is_entropy) {
      FastBlocks<Ops, Logits, Targets, FastOutput::kSecondDerivative>(
          loss, segment, scale, first_block, partials);
    }
    return is_entropy;
  }
  if constexpr (has_loop) {
    if (segment.gradient != nullptr) {
      FastBlocks<Ops, Logits, Targets, FastOutput::kGradient>(
          loss, segment, scale, first_block, partials);
    } else {
      FastBlocks<Ops, Logits, Targets, FastOutput::kNothing>(
          loss, segment, scale, first_block, partials);
    }
  }
  return has_loop;
}

// Computes the blocks if the fast loop applies to the segment; else returns
// false.
template <class Ops>
bool ComputeIfFast(const Segment& segment, typename Ops::T scale,
                   uint64_t first_block, std::span<BlockPartial> partials) {
  // An infinite scale makes a NaN of a derivative of 0, which only the exact
  // loop makes canonical.
  if (!IsFast(segment) || !std::isfinite(scale)) return false;
  return WithFastTypes<Ops>(segment, [&]<class Logits, class Targets>() {
    return WithLoss<Ops>(segment.options.kind, ParametersOf(segment.options),
                         [&](const auto& loss) {
                           return ComputeByFastLoop<Ops, Logits, Targets>(
                               loss, segment, scale, first_block, partials);
                         });
  });
}

// Computes the blocks of any segment. `FastOps` is the fast loop's policy, over
// the same arithmetic as Ops.
template <class Ops, class FastOps>
void ComputeBlocksOf(const Segment& segment, double gradient_scale,
                     uint64_t first_block, std::span<BlockPartial> partials) {
  const auto scale = static_cast<typename Ops::T>(gradient_scale);
  if (ComputeIfFast<FastOps>(segment, scale, first_block, partials)) return;
  ComputeExact<Ops>(segment, scale, first_block, partials);
}
