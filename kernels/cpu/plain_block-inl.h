// The loop of the requests that are sent most: a loss and its gradient, nothing
// else. A body, included by kernels/cpu/block-inl.h.
//
// It computes what is ordinary and gives up on what is not: a block that has a
// NaN, an infinite logit or a target out of range is computed again by the
// general loop, whose bits are the same where both have an answer.

// How logits and gradients are stored, and targets. Element `i` of a block is
// the first of a vector; `base` has any alignment.
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

// One block where it lies. `gradient` is null without one.
struct PlainBlock {
  const std::byte* logits;
  const std::byte* targets;
  std::byte* gradient;
};

// How far ahead of the arithmetic memory is asked for. From main memory the
// loop is a fifth faster for it (the machine's own prefetching stops at every
// page); 512 bytes or 8192 gain half of that.
inline constexpr uint64_t kPrefetchBytes = 2048;

// Asks for the lines that hold `bytes` bytes, kPrefetchBytes after `from`; they
// may lie past the end of what there is, which a prefetch does not mind.
template <bool kWrite>
LOSSD_ELEMENT_FN void PrefetchAhead(const std::byte* from, uint64_t bytes) {
  for (uint64_t line = 0; line < bytes; line += 64) {
    __builtin_prefetch(from + kPrefetchBytes + line, kWrite ? 1 : 0);
  }
}

// A loss of a plain element, whose logit is finite or whose block is computed
// again. The cross-entropy saves what only infinite logits need.
template <class Ops, class Loss>
LOSSD_ELEMENT_FN ElementResult<Ops> PlainElement(const Loss& loss,
                                                 typename Ops::V x,
                                                 typename Ops::V t) {
  if constexpr (std::is_same_v<Loss, CrossEntropyLoss<Ops>>) {
    return SigmoidCrossEntropy<Ops>(x, t);
  } else {
    return loss(x, SidesOf<Ops>(t), Ops::Set(1));
  }
}

// Likewise of targets that are 0 or 1 and cannot be anything else.
template <class Ops>
LOSSD_ELEMENT_FN ElementResult<Ops> PlainElement(const CrossEntropyLoss<Ops>&,
                                                 typename Ops::V x,
                                                 typename Ops::M positive) {
  return HardSigmoidCrossEntropy<Ops>(x, positive);
}

// Vector `i` of a block: stores its gradient, returns its losses, and collects
// the targets' bits in `seen`.
template <class Ops, class Logits, class Targets, bool kGradient, class Loss>
LOSSD_ELEMENT_FN typename Ops::V PlainStep(const Loss& loss,
                                           const PlainBlock& block, uint64_t i,
                                           typename Ops::V scale,
                                           typename Ops::V& seen) {
  const auto t = Targets::Load(block.targets, i);
  const ElementResult<Ops> result =
      PlainElement<Ops>(loss, Logits::Load(block.logits, i), t);
  if constexpr (kGradient) {
    Logits::Store(Ops::Mul(result.derivative, scale), block.gradient, i);
  }
  if constexpr (std::is_same_v<decltype(t), const typename Ops::V>) {
    seen = Ops::MaxOfBits(seen, t);
  }
  return result.loss;
}

// The last `count` elements, fewer than a vector, through padded copies.
template <class Ops, class Logits, class Targets, bool kGradient, class Loss>
LOSSD_ELEMENT_FN void PlainTail(const Loss& loss, const PlainBlock& block,
                                uint64_t first, uint64_t count,
                                typename Ops::V scale, typename Ops::V& seen,
                                double* lanes) {
  alignas(64) std::byte logits[Logits::Bytes(Ops::kWidth)] = {};
  alignas(64) std::byte targets[Targets::Bytes(Ops::kWidth)] = {};
  alignas(64) std::byte gradient[Logits::Bytes(Ops::kWidth)];
  std::memcpy(logits, block.logits + Logits::Bytes(first),
              Logits::Bytes(count));
  std::memcpy(targets, block.targets + Targets::Bytes(first),
              Targets::Bytes(count));
  const typename Ops::V losses = PlainStep<Ops, Logits, Targets, kGradient>(
      loss, {logits, targets, gradient}, 0, scale, seen);
  Ops::AddToLanes(
      Ops::Select(Ops::FirstN(static_cast<int>(count)), losses, Ops::Set(0)),
      lanes);
  if constexpr (kGradient) {
    std::memcpy(block.gradient + Logits::Bytes(first), gradient,
                Logits::Bytes(count));
  }
}

// Fills in the partial of a block of `n` elements. False: the block has
// something that is not ordinary, and neither partial nor gradient is the
// answer.
template <class Ops, class Logits, class Targets, bool kGradient, class Loss>
bool ComputePlainBlock(const Loss& loss, const PlainBlock& block, uint64_t n,
                       typename Ops::T scale, BlockPartial& partial) {
  alignas(64) double lanes[kBlockLanes] = {};
  typename Ops::V seen = Ops::Set(0);
  const typename Ops::V scale_v = Ops::Set(scale);
  uint64_t i = 0;
  for (; i + Ops::kWidth <= n; i += Ops::kWidth) {
    PrefetchAhead<false>(block.logits + Logits::Bytes(i),
                         Logits::Bytes(Ops::kWidth));
    PrefetchAhead<false>(block.targets + Targets::Bytes(i),
                         Targets::Bytes(Ops::kWidth));
    if constexpr (kGradient) {
      PrefetchAhead<true>(block.gradient + Logits::Bytes(i),
                          Logits::Bytes(Ops::kWidth));
    }
    Ops::AddToLanes(PlainStep<Ops, Logits, Targets, kGradient>(loss, block, i,
                                                               scale_v, seen),
                    lanes + i % kBlockLanes);
  }
  if (i < n) {
    PlainTail<Ops, Logits, Targets, kGradient>(loss, block, i, n - i, scale_v,
                                               seen, lanes + i % kBlockLanes);
  }
  partial.loss_sum = SumLanes(lanes);
  partial.valid_count = static_cast<uint32_t>(n);
  partial.nonzero_weight_count = static_cast<uint32_t>(n);
  partial.weight_sum = static_cast<double>(n);
  // Every NaN is in the sum; so is an infinite logit, as an infinity or, where
  // its loss is 0, as a NaN (D10).
  return std::isfinite(partial.loss_sum) && !Ops::AnyAboveOneByBits(seen);
}

template <class Ops, class Logits, class Targets, class Loss>
void PlainBlocks(const Loss& loss, const Segment& segment,
                 typename Ops::T scale, uint64_t first_block,
                 std::span<BlockPartial> partials) {
  alignas(64) std::byte logits_scratch[Logits::Bytes(kBlockElements)];
  alignas(64) std::byte targets_scratch[Targets::Bytes(kBlockElements)];
  PieceCursor logits(segment.logits);
  PieceCursor targets(segment.targets);
  for (uint64_t k = 0; k < partials.size(); ++k) {
    const uint64_t first = (first_block + k) * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    PlainBlock block = {
        logits.Fetch(Logits::Bytes(first), Logits::Bytes(n), logits_scratch),
        targets.Fetch(Targets::Bytes(first), Targets::Bytes(n),
                      targets_scratch),
        nullptr};
    partials[k] = BlockPartial();
    bool ordinary;
    if (segment.gradient != nullptr) {
      block.gradient = segment.gradient + Logits::Bytes(first);
      ordinary = ComputePlainBlock<Ops, Logits, Targets, true>(
          loss, block, n, scale, partials[k]);
    } else {
      ordinary = ComputePlainBlock<Ops, Logits, Targets, false>(
          loss, block, n, scale, partials[k]);
    }
    if (!ordinary) {
      GeneralBlocksOf<typename Ops::Single>(segment, scale, first_block + k,
                                            partials.subspan(k, 1));
    }
  }
}

// What `use` returns for the types of a plain segment's logits and targets;
// false: it is not plain. Ops is the policy of its arithmetic.
template <class Ops, class Use>
bool WithPlainTypes(const Segment& segment, Use use) {
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

// Nothing is asked for but the loss and, in the logits' type, its gradient.
inline bool IsPlain(const Segment& segment) {
  const LossOptions& options = segment.options;
  return segment.targets.present() && !segment.weights.present() &&
         !segment.pos_weight.present() && !segment.upstream.present() &&
         !options.ignore_target && options.label_smoothing == 0 &&
         options.targets_in_unit_interval && segment.losses == nullptr &&
         (segment.gradient == nullptr ||
          segment.gradient_type == segment.logits.type);
}

// Whether every loss has this loop for such types. Losses with powers are long,
// and each combination of types is a loop of its own: they have it for the
// types that are sent most, and the general loop for the rest.
template <class Logits, class Targets>
inline constexpr bool kForEveryLoss = false;
template <class Ops>
inline constexpr bool
    kForEveryLoss<StoredAsComputed<Ops>, StoredAsComputed<Ops>> =
        sizeof(typename Ops::T) == 4;
template <class Ops>
inline constexpr bool kForEveryLoss<StoredAsComputed<Ops>, StoredAsBytes<Ops>> =
    sizeof(typename Ops::T) == 4;

// Computes the blocks, if they are plain.
template <class Ops>
bool ComputeIfPlain(const Segment& segment, typename Ops::T scale,
                    uint64_t first_block, std::span<BlockPartial> partials) {
  // An infinite scale makes a NaN of a derivative of 0: only the general loop
  // minds.
  if (!IsPlain(segment) || !std::isfinite(scale)) return false;
  return WithPlainTypes<Ops>(segment, [&]<class Logits, class Targets>() {
    return WithLoss<Ops>(segment.options.kind, ParametersOf(segment.options),
                         [&]<class Loss>(const Loss& loss) {
                           constexpr bool has_loop =
                               kForEveryLoss<Logits, Targets> ||
                               std::is_same_v<Loss, CrossEntropyLoss<Ops>>;
                           if constexpr (has_loop) {
                             PlainBlocks<Ops, Logits, Targets>(
                                 loss, segment, scale, first_block, partials);
                           }
                           return has_loop;
                         });
  });
}
