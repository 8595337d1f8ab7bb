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
  bool smooth;
  Smoothing<typename Ops::T> smoothing;
};

template <class Ops>
ExactScales<Ops> ExactScalesOf(const LossOptions& options,
                               typename Ops::T gradient) {
  using T = typename Ops::T;
  const double smoothing = options.label_smoothing;
  const double prior = options.label_smoothing_prior;
  return {gradient,
          static_cast<T>(options.loss_weight),
          smoothing != 0,
          {static_cast<T>(1 - smoothing), static_cast<T>(smoothing * prior),
           static_cast<T>(smoothing * (1 - prior))}};
}

// Computes the vector at element `i` of a staged block. Elements of weight 0,
// which include the ignored ones, have loss 0 and derivatives 0 whatever their
// other inputs are.
template <class Ops, bool kSecond, class Loss>
LOSSD_ELEMENT_FN ElementResult<Ops> ExactStep(
    const Loss& loss, const StagedBlock<typename Ops::T>& staged, uint64_t i,
    const ExactScales<Ops>& scales, typename Ops::M& nan) {
  using V = typename Ops::V;
  const V x = Ops::Load(staged.logits + i);
  const V w = Ops::Load(staged.weights + i);
  TargetPair<Ops> target = TargetPairOf<Ops>(Ops::Load(staged.targets + i));
  if (scales.smooth) target = Smoothed<Ops>(target, scales.smoothing);
  const ElementResult<Ops> result =
      loss.template At<kSecond>(x, target, Ops::Load(staged.pos_weights + i));
  nan = Ops::Or(nan, Ops::IsNan(x));
  const V factor = Ops::Mul(Ops::Mul(w, Ops::Set(scales.gradient)),
                            Ops::Load(staged.upstream + i));
  const V zero = Ops::Set(0);
  const typename Ops::M off = Ops::IsZero(w);
  const auto scaled = [&](V derivative) {
    return Ops::Select(off, zero,
                       CanonicalNan<Ops>(Ops::Mul(derivative, factor)));
  };
  return {Ops::Select(off, zero, Ops::Mul(result.loss, w)),
          scaled(result.derivative), kSecond ? scaled(result.second) : zero};
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

// Where the results of a block are written; null where they are not wanted.
template <class T>
struct ExactOutput {
  T* gradient;
  T* second;  // not null with kSecond
  T* losses;
  T* summands;  // the losses before loss_weight
};

// Returns the sum of values begin to end of a block, in the order of rows.
template <class T>
double SumOfPiece(const T* values, uint64_t begin, uint64_t end) {
  if (end - begin == 1) return 0.0 + static_cast<double>(values[begin]);
  alignas(64) double lanes[kRowLanes] = {};
  uint64_t i = begin;
  for (; i < end && i % kRowLanes != 0; ++i) {
    lanes[i % kRowLanes] += static_cast<double>(values[i]);
  }
  for (; i + kRowLanes <= end; i += kRowLanes) {
    for (uint64_t k = 0; k < kRowLanes; ++k) {
      lanes[k] += static_cast<double>(values[i + k]);
    }
  }
  for (; i < end; ++i) lanes[i % kRowLanes] += static_cast<double>(values[i]);
  return SumLanes(lanes);
}

// Computes one staged block of `n` elements; element 0 of the block is element
// `first` of the segment.
template <class Ops, bool kSecond, class Loss>
void ExactBlock(const Loss& loss, const StagedBlock<typename Ops::T>& staged,
                uint64_t n, uint64_t first, const ExactScales<Ops>& scales,
                const ExactOutput<typename Ops::T>& to, BlockPartial& partial) {
  using T = typename Ops::T;
  using V = typename Ops::V;
  alignas(64) double lanes[kBlockLanes] = {};
  typename Ops::M nan = Ops::Never();
  for (uint64_t i = 0; i < n; i += Ops::kWidth) {
    ElementResult<Ops> result =
        ExactStep<Ops, kSecond>(loss, staged, i, scales, nan);
    const uint64_t left = n - i;
    if (to.gradient != nullptr)
      StoreFirst<Ops>(result.derivative, left, to.gradient + i);
    if constexpr (kSecond) StoreFirst<Ops>(result.second, left, to.second + i);
    if (to.losses != nullptr) {
      const V scaled = Ops::Mul(result.loss, Ops::Set(scales.loss_weight));
      StoreFirst<Ops>(CanonicalNan<Ops>(scaled), left, to.losses + i);
    }
    if (to.summands != nullptr)
      StoreFirst<Ops>(result.loss, left, to.summands + i);
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

// The destination of a block's derivatives or losses. Results of the
// arithmetic's type are written straight to the segment's memory; those of
// another type go to a buffer first and are rounded once.
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
  // GCC 14 does not see that End() reads only what was written.
  alignas(64) T buffer_[kBlockElements] = {};
};

// Computes the blocks with a given loss.
template <class Ops, bool kSecond, class Loss>
void ExactBlocks(const Loss& loss, const Segment& segment,
                 typename Ops::T scale, uint64_t first_block,
                 std::span<BlockPartial> partials) {
  using T = typename Ops::T;
  StagedBlock<T> staged;
  PieceCursor logits(segment.logits);
  Stager<T> stager(segment);
  const ExactScales<Ops> scales = ExactScalesOf<Ops>(segment.options, scale);
  Results<T> gradient(segment.gradient_type, segment.gradient);
  Results<T> second(segment.gradient_type, segment.second_derivative);
  Results<T> losses(segment.losses_type, segment.losses);
  alignas(64) T summands[kBlockElements];
  const bool has_rows = segment.row_sums != nullptr;
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
    ExactBlock<Ops, kSecond>(
        loss, staged, n, first, scales,
        {gradient.Begin(first), second.Begin(first), losses.Begin(first),
         has_rows ? summands : nullptr},
        partial);
    if (has_rows) {
      ForEachPiece(segment, block, [&](const RowPiece& piece) {
        segment.row_sums[piece.number] =
            SumOfPiece(summands, piece.begin, piece.end);
      });
    }
    gradient.End(first, n);
    second.End(first, n);
    losses.End(first, n);
    ++block;
  }
}

// Computes the blocks from `first_block` on with the loss that the segment asks
// for; partials[k] is of block first_block + k.
template <class Ops>
void ComputeExact(const Segment& segment, typename Ops::T scale,
                  uint64_t first_block, std::span<BlockPartial> partials) {
  WithLoss<Ops>(
      segment.options.kind, ParametersOf(segment.options),
      [&](const auto& loss) {
        if (segment.second_derivative != nullptr) {
          ExactBlocks<Ops, true>(loss, segment, scale, first_block, partials);
        } else {
          ExactBlocks<Ops, false>(loss, segment, scale, first_block, partials);
        }
      });
}
