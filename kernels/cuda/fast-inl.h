// The loops of the fast variants: a cross-entropy and its gradient, no options.
//
// This is a body; lanes-inl.h says what the includer defines and includes.
//
// FastRows() computes the whole rows of a block, and returns whether they were
// free of NaNs, infinite logits and targets out of range (D10). ExactRows()
// computes the rest of the block, or all of it if FastRows() returned false.
// Wherever both have a result it has the same bits, which are also those of the
// exact loop.
//
// The includer defines VectorMemory before, with static functions:
//   Load(const Row*)           reads a row, from memory that is used once
//   Store(Row, Row*)           writes a row, to memory that is used once
//   Narrow(a, b, Stored* to)   writes two results that are not NaNs, rounded as
//                              by StoreRounded()
//   Widen(Stored)              converts a stored value, exactly

LOSSD_ELEMENT_FN uint64_t BitsOf(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Stored elements in whole registers, as a thread keeps them until it needs
// them.
template <int kCount>
struct alignas(kCount < 4 ? 4 * kCount : 16) Words {
  uint32_t words[kCount];
};

template <class Stored, int kLanes>
using WordsOf = Words<kLanes* static_cast<int>(sizeof(Stored)) / 4>;

template <class Stored, int kCount>
LOSSD_ELEMENT_FN Stored ElementOf(const Words<kCount>& row, int k) {
  Stored element;
  if constexpr (sizeof(Stored) >= 4) {
    constexpr int kWords = sizeof(Stored) / 4;
    memcpy(&element, row.words + kWords * k, sizeof(element));
  } else {
    constexpr int kPerWord = 4 / sizeof(Stored);
    const uint32_t shifted =
        row.words[k / kPerWord] >> (32 / kPerWord * (k % kPerWord));
    memcpy(&element, &shifted, sizeof(element));  // the low bytes
  }
  return element;
}

// Targets that are stored elements; they must be in [0, 1].
template <class Element, int kLanes>
struct StoredTargets {
  using Row = WordsOf<Element, kLanes>;
  static constexpr bool kMayBeBad = true;
  static constexpr uint64_t kRowAlignment = alignof(Row);
  LOSSD_ELEMENT_FN static uint64_t Bytes(uint64_t count) {
    return count * sizeof(Element);
  }
  LOSSD_ELEMENT_FN static Row Load(const std::byte* base, uint64_t first) {
    return VectorMemory::Load(PlaceOf<Row>(base, first / kLanes));
  }
  LOSSD_ELEMENT_FN static Row LoadSome(const std::byte* base, uint64_t first,
                                       uint64_t left) {
    const auto some = LoadNeighbours<Element, kLanes>(base, first, left);
    Row row;
    memcpy(&row, &some, sizeof(row));
    return row;
  }
  template <class T>
  LOSSD_ELEMENT_FN static T Get(const Row& row, int k) {
    return static_cast<T>(VectorMemory::Widen(ElementOf<Element>(row, k)));
  }
};

// Targets that are packed bits. The lanes of a thread share a byte.
template <int kLanes>
struct BitTargets {
  struct Row {
    uint8_t bits;
  };
  static constexpr bool kMayBeBad = false;
  static constexpr uint64_t kRowAlignment = 1;
  LOSSD_ELEMENT_FN static uint64_t Bytes(uint64_t count) { return count / 8; }
  LOSSD_ELEMENT_FN static Row Load(const std::byte* base, uint64_t first) {
    const uint8_t byte = At<uint8_t>(base, first / 8);
    return {static_cast<uint8_t>(byte >> (first % 8))};
  }
  LOSSD_ELEMENT_FN static Row LoadSome(const std::byte* base, uint64_t first,
                                       uint64_t) {
    return Load(base, first);
  }
  template <class T>
  LOSSD_ELEMENT_FN static T Get(const Row& row, int k) {
    return (row.bits >> k) & 1 ? T{1} : T{0};
  }
};

// The types of a fast variant: the arithmetic, the logits and the targets. A
// thread has 16 bytes of logits of each row, so a block is the work of a warp,
// or of half a warp for half types.
template <class Operations, class Stored, template <int> class TargetsOf>
struct FastTypes {
  using Ops = Operations;
  using T = typename Ops::T;
  using Logit = Stored;
  static constexpr int kLanes = sizeof(Logit) == 2 ? 8 : 4;
  static constexpr int kThreads = static_cast<int>(kBlockLanes) / kLanes;
  using Logits = WordsOf<Logit, kLanes>;
  using Targets = TargetsOf<kLanes>;
};

template <int kLanes>
using Float32Targets = StoredTargets<float, kLanes>;
template <int kLanes>
using Float64Targets = StoredTargets<double, kLanes>;
template <int kLanes>
using BFloat16Targets = StoredTargets<BFloat16, kLanes>;
template <int kLanes>
using Float16Targets = StoredTargets<Float16, kLanes>;
template <int kLanes>
using ByteTargets = StoredTargets<uint8_t, kLanes>;

// The tensors of one block.
template <class Types>
struct FastBlock {
  const std::byte* logits;
  const std::byte* targets;
  std::byte* gradient;  // null: not wanted
  uint64_t first;       // index of its first element in the segment
  uint32_t count;
  typename Types::T scale;

  // Returns how many rows FastRows() computes: all whole rows, or 0 if a tensor
  // is not aligned for vectors of 16 bytes. Tensors staged with the batch
  // always are; tensors in a client's own device memory may start anywhere.
  LOSSD_ELEMENT_FN uint32_t FastRowCount() const {
    using Logits = typename Types::Logits;
    const uint64_t odd =
        reinterpret_cast<uintptr_t>(logits) % alignof(Logits) |
        reinterpret_cast<uintptr_t>(gradient) % alignof(Logits) |
        reinterpret_cast<uintptr_t>(targets) % Types::Targets::kRowAlignment;
    return odd == 0 ? count / static_cast<uint32_t>(kBlockLanes) : 0;
  }
};

template <class Types>
LOSSD_ELEMENT_FN FastBlock<Types> FastBlockOf(const PackedSegment& segment,
                                              const std::byte* input,
                                              std::byte* output,
                                              uint64_t block) {
  using Logit = typename Types::Logit;
  const uint64_t first = (block - segment.first_block) * kBlockElements;
  const uint64_t left = segment.end - first;
  FastBlock<Types> found;
  found.logits = PlaceIn(input, segment.logits + first * sizeof(Logit));
  found.targets =
      PlaceIn(input, segment.targets + Types::Targets::Bytes(first));
  found.gradient =
      segment.gradient == kNoIndex
          ? nullptr
          : PlaceIn(output, segment.gradient + first * sizeof(Logit));
  found.first = first;
  found.count =
      static_cast<uint32_t>(left < kBlockElements ? left : kBlockElements);
  found.scale = static_cast<typename Types::T>(segment.gradient_scale);
  return found;
}

// The sums and counts of one thread.
template <int kLanes>
struct FastSums {
  double loss[kLanes] = {};
  uint32_t nan_count = 0;
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
};

// A thread's elements of a row, as stored.
template <class Types>
struct FastRow {
  typename Types::Logits logits;
  typename Types::Targets::Row targets;
};

// `at` is the position in the block of the thread's first element.
template <class Types>
LOSSD_ELEMENT_FN FastRow<Types> LoadRow(const FastBlock<Types>& block,
                                        uint32_t at) {
  using Logits = typename Types::Logits;
  return {VectorMemory::Load(PlaceOf<Logits>(block.logits, at / Types::kLanes)),
          Types::Targets::Load(block.targets, at)};
}

// Computes one row; the result is right if every element is finite and every
// target is in [0, 1]. Keeps the largest bits of a target in `seen`.
template <class Types, class Bits>
LOSSD_ELEMENT_FN void ComputeRow(const FastBlock<Types>& block, uint32_t at,
                                 const FastRow<Types>& row,
                                 double (&loss)[Types::kLanes], Bits& seen) {
  using Ops = typename Types::Ops;
  using T = typename Types::T;
  using Logit = typename Types::Logit;
  typename Types::Logits gradient;
  LOSSD_UNROLL for (int k = 0; k < Types::kLanes; k += 2) {
    T derivatives[2];
    LOSSD_UNROLL for (int half = 0; half < 2; ++half) {
      const T x = static_cast<T>(
          VectorMemory::Widen(ElementOf<Logit>(row.logits, k + half)));
      const T t = Types::Targets::template Get<T>(row.targets, k + half);
      const ElementResult<Ops> result = SigmoidCrossEntropy<Ops>(x, t);
      loss[k + half] += static_cast<double>(result.loss);
      derivatives[half] = Ops::Mul(result.derivative, block.scale);
      if constexpr (Types::Targets::kMayBeBad) {
        const Bits bits = BitsOf(t);
        seen = bits > seen ? bits : seen;
      }
    }
    Logit narrowed[2];
    VectorMemory::Narrow(derivatives[0], derivatives[1], narrowed);
    memcpy(gradient.words + k * sizeof(Logit) / 4, narrowed, sizeof(narrowed));
  }
  if (block.gradient != nullptr) {
    VectorMemory::Store(gradient, PlaceOf<typename Types::Logits>(
                                      block.gradient, at / Types::kLanes));
  }
}

// Returns whether the sums are finite and `seen`, the largest bits of a target,
// is at most 1.
template <class T, class Bits, int kLanes>
LOSSD_ELEMENT_FN bool AreGood(const double (&loss)[kLanes], Bits seen) {
  double not_finite = 0;
  LOSSD_UNROLL for (int k = 0; k < kLanes; ++k) {
    not_finite += loss[k] - loss[k];  // 0, or NaN if loss[k] is not finite
  }
  return not_finite == 0 && seen <= BitsOf(T{1});
}

// Computes the first FastRowCount() rows of a thread. Returns false if they
// hold a NaN, an infinite logit or a target out of range. A NaN shows in a sum;
// so does an infinite logit, as an infinity or, if its loss is 0, as a NaN.
template <class Types>
LOSSD_ELEMENT_FN bool FastRows(const FastBlock<Types>& block, int thread,
                               double (&loss)[Types::kLanes]) {
  using T = typename Types::T;
  using Bits = decltype(BitsOf(T()));
  constexpr uint32_t kRow = static_cast<uint32_t>(kBlockLanes);
  const uint32_t rows = block.FastRowCount();
  uint32_t at = static_cast<uint32_t>(Types::kLanes * thread);
  Bits seen = 0;
  // Each row is loaded before the one before it is computed, as far as the
  // compiler has registers for that (tuning.h).
  FastRow<Types> next;
  if (rows > 0) next = LoadRow(block, at);
  for (uint32_t row = 1; row <= rows; ++row) {
    const FastRow<Types> now = next;
    if (row < rows) next = LoadRow(block, at + kRow);
    ComputeRow(block, at, now, loss, seen);
    at += kRow;
  }
  return AreGood<T>(loss, seen);
}

// Computes a thread's elements of one row, whatever they are.
template <class Types>
LOSSD_ELEMENT_FN void ExactRow(const FastBlock<Types>& block, uint32_t at,
                               FastSums<Types::kLanes>& sums) {
  using Ops = typename Types::Ops;
  using T = typename Types::T;
  using Logit = typename Types::Logit;
  constexpr int kLanes = Types::kLanes;
  if (at >= block.count) return;
  const uint64_t left = block.count - at;
  const auto logits = LoadNeighbours<Logit, kLanes>(block.logits, at, left);
  const auto targets = Types::Targets::LoadSome(block.targets, at, left);
  Neighbours<Logit, kLanes> gradient = {};
  LOSSD_UNROLL for (int k = 0; k < kLanes; ++k) {
    if (static_cast<uint64_t>(k) >= left) continue;
    const uint64_t index = block.first + at + static_cast<uint64_t>(k);
    const T x = Loaded<T>(logits.values[k]);
    const T t = Types::Targets::template Get<T>(targets, k);
    if (!(t >= 0 && t <= 1) && sums.first_bad_target == kNoIndex) {
      sums.first_bad_target = index;
    }
    if (x != x && sums.nan_count++ == 0) sums.first_nan = index;
    const TargetPair<Ops> pair = TargetPairOf<Ops>(t);
    const ElementResult<Ops> result = CrossEntropyOf<Ops, false>(
        x, WrongWeight<Ops>{Ops::SelectNegative(x, pair.t, pair.complement)});
    sums.loss[k] += static_cast<double>(result.loss);
    StoreRounded(CanonicalNan<Ops>(Ops::Mul(result.derivative, block.scale)),
                 &gradient.values[k]);
  }
  if (block.gradient != nullptr) {
    StoreNeighbours(gradient, block.gradient, at, left);
  }
}

// Computes a thread's elements of all rows from `row` on.
template <class Types>
LOSSD_ELEMENT_FN void ExactRows(const FastBlock<Types>& block, int thread,
                                uint32_t row, FastSums<Types::kLanes>& sums) {
  constexpr uint32_t kRow = static_cast<uint32_t>(kBlockLanes);
  LOSSD_ROLL for (uint32_t start = row * kRow; start < block.count;
                  start += kRow) {
    ExactRow(block, start + static_cast<uint32_t>(Types::kLanes * thread),
             sums);
  }
}
