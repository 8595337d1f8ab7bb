// The loops of the plain paths: a cross-entropy and its gradient, nothing else.
// A body like block-inl.h, after which it is included.
//
// It computes what is ordinary and leaves what is not: OrdinaryRows() takes the
// whole rows of a block and says whether it met a NaN, an infinite logit or a
// target out of range; ExactRows() takes the rest, or, if it did, all of them
// once more. The bits are the same where both have an answer, and always those
// of the general loop.
//
// The includer also defines Machine, how a machine moves whole vectors:
//   Load(const Row*), Store(Row, Row*): of memory that is used once
//   Narrow(a, b, Stored* to): two results that are no NaNs, rounded as
//   StoreRounded() does
//   Widen(Stored): a stored value, exactly

LOSSD_ELEMENT_FN uint64_t BitsOf(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

// Neighbours as a thread keeps them until it needs them: in whole registers.
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

// Targets as stored elements. Good ones are 0 to 1.
template <class Element, int kLanes>
struct StoredTargets {
  using Row = WordsOf<Element, kLanes>;
  static constexpr bool kMayBeBad = true;
  static constexpr uint64_t kRowAlignment = alignof(Row);
  LOSSD_ELEMENT_FN static uint64_t Bytes(uint64_t count) {
    return count * sizeof(Element);
  }
  LOSSD_ELEMENT_FN static Row Load(const std::byte* base, uint64_t first) {
    return Machine::Load(PlaceOf<Row>(base, first / kLanes));
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
    return static_cast<T>(Machine::Widen(ElementOf<Element>(row, k)));
  }
};

// Targets as packed bits, of which a thread's lanes share a byte.
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

// A path: the arithmetic and the two ways of storing. A thread has 16 bytes of
// logits of each row, so that a block is the work of a warp, of half types of
// half a warp.
template <class Operations, class Stored, template <int> class TargetsOf>
struct PlainTypes {
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

// One block: where its tensors begin, and how much of it there is.
template <class Types>
struct PlainBlock {
  const std::byte* logits;
  const std::byte* targets;
  std::byte* gradient;  // null: not wanted
  uint64_t first;       // index of its first element in the segment
  uint32_t count;
  typename Types::T scale;

  // Rows that OrdinaryRows() takes: whole ones, of tensors that vectors of 16
  // bytes can be read from. Tensors that came with the batch are; those that
  // lie in a worker's own memory may start anywhere.
  LOSSD_ELEMENT_FN uint32_t OrdinaryRowCount() const {
    using Logits = typename Types::Logits;
    const uint64_t odd =
        reinterpret_cast<uintptr_t>(logits) % alignof(Logits) |
        reinterpret_cast<uintptr_t>(gradient) % alignof(Logits) |
        reinterpret_cast<uintptr_t>(targets) % Types::Targets::kRowAlignment;
    return odd == 0 ? count / static_cast<uint32_t>(kBlockLanes) : 0;
  }
};

template <class Types>
LOSSD_ELEMENT_FN PlainBlock<Types> PlainBlockOf(const PackedSegment& segment,
                                                const std::byte* input,
                                                std::byte* output,
                                                uint64_t block) {
  using Logit = typename Types::Logit;
  const uint64_t first = (block - segment.first_block) * kBlockElements;
  const uint64_t left = segment.end - first;
  PlainBlock<Types> plain;
  plain.logits = PlaceIn(input, segment.logits + first * sizeof(Logit));
  plain.targets =
      PlaceIn(input, segment.targets + Types::Targets::Bytes(first));
  plain.gradient =
      segment.gradient == kNoIndex
          ? nullptr
          : PlaceIn(output, segment.gradient + first * sizeof(Logit));
  plain.first = first;
  plain.count =
      static_cast<uint32_t>(left < kBlockElements ? left : kBlockElements);
  plain.scale = static_cast<typename Types::T>(segment.gradient_scale);
  return plain;
}

// What a thread has added up.
template <int kLanes>
struct PlainSums {
  double loss[kLanes] = {};
  uint32_t nan_count = 0;
  uint64_t first_nan = kNoIndex;
  uint64_t first_bad_target = kNoIndex;
};

// A thread's elements of a row, as they are stored.
template <class Types>
struct PlainRow {
  typename Types::Logits logits;
  typename Types::Targets::Row targets;
};

// `at`: of the thread's first element in the block.
template <class Types>
LOSSD_ELEMENT_FN PlainRow<Types> LoadRow(const PlainBlock<Types>& block,
                                         uint32_t at) {
  using Logits = typename Types::Logits;
  return {Machine::Load(PlaceOf<Logits>(block.logits, at / Types::kLanes)),
          Types::Targets::Load(block.targets, at)};
}

// Of ordinary elements, and no others. Keeps the largest bits of a target in
// `seen`.
template <class Types, class Bits>
LOSSD_ELEMENT_FN void ComputeRow(const PlainBlock<Types>& block, uint32_t at,
                                 const PlainRow<Types>& row,
                                 double (&loss)[Types::kLanes], Bits& seen) {
  using Ops = typename Types::Ops;
  using T = typename Types::T;
  using Logit = typename Types::Logit;
  typename Types::Logits gradient;
  LOSSD_UNROLL for (int k = 0; k < Types::kLanes; k += 2) {
    T derivatives[2];
    LOSSD_UNROLL for (int half = 0; half < 2; ++half) {
      const T x = static_cast<T>(
          Machine::Widen(ElementOf<Logit>(row.logits, k + half)));
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
    Machine::Narrow(derivatives[0], derivatives[1], narrowed);
    memcpy(gradient.words + k * sizeof(Logit) / 4, narrowed, sizeof(narrowed));
  }
  if (block.gradient != nullptr) {
    Machine::Store(gradient, PlaceOf<typename Types::Logits>(
                                 block.gradient, at / Types::kLanes));
  }
}

// The first OrdinaryRowCount() rows of a thread. False: something in them is
// not ordinary. Every NaN is in a sum; so is an infinite logit, as an infinity
// or, where its loss is 0, as a NaN.
template <class Types>
LOSSD_ELEMENT_FN bool OrdinaryRows(const PlainBlock<Types>& block, int thread,
                                   double (&loss)[Types::kLanes]) {
  using T = typename Types::T;
  using Bits = decltype(BitsOf(T()));
  constexpr uint32_t kRow = static_cast<uint32_t>(kBlockLanes);
  const uint32_t rows = block.OrdinaryRowCount();
  uint32_t at = static_cast<uint32_t>(Types::kLanes * thread);
  Bits seen = 0;
  // Memory is asked for a row before it is needed, as far as the compiler has
  // registers for that (tuning.h).
  PlainRow<Types> next;
  if (rows > 0) next = LoadRow(block, at);
  for (uint32_t row = 1; row <= rows; ++row) {
    const PlainRow<Types> now = next;
    if (row < rows) next = LoadRow(block, at + kRow);
    ComputeRow(block, at, now, loss, seen);
    at += kRow;
  }
  double finite = 0;
  LOSSD_UNROLL for (int k = 0; k < Types::kLanes; ++k) {
    finite += loss[k] - loss[k];  // a NaN where it is none
  }
  return finite == 0 && seen <= BitsOf(T{1});
}

// A thread's elements of one row, whatever they are.
template <class Types>
LOSSD_ELEMENT_FN void ExactRow(const PlainBlock<Types>& block, uint32_t at,
                               PlainSums<Types::kLanes>& sums) {
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
    const TargetPair<Ops> sides = TargetPairOf<Ops>(t);
    const ElementResult<Ops> result = CrossEntropyOf<Ops, false>(
        x, WrongWeight<Ops>{Ops::SelectNegative(x, sides.t, sides.complement)});
    sums.loss[k] += static_cast<double>(result.loss);
    StoreRounded(CanonicalNan<Ops>(Ops::Mul(result.derivative, block.scale)),
                 &gradient.values[k]);
  }
  if (block.gradient != nullptr) {
    StoreNeighbours(gradient, block.gradient, at, left);
  }
}

// A thread's elements of all rows from `row` on.
template <class Types>
LOSSD_ELEMENT_FN void ExactRows(const PlainBlock<Types>& block, int thread,
                                uint32_t row, PlainSums<Types::kLanes>& sums) {
  constexpr uint32_t kRow = static_cast<uint32_t>(kBlockLanes);
  LOSSD_ROLL for (uint32_t start = row * kRow; start < block.count;
                  start += kRow) {
    ExactRow(block, start + static_cast<uint32_t>(Types::kLanes * thread),
             sums);
  }
}
