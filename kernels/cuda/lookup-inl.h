// The cross-entropy of bfloat16 logits and hard targets, looked up. A body like
// plain-inl.h, after which it is included.
//
// Such an element is 4.125 bytes of traffic, so memory at its limit asks for
// three times as many elements as of float32, more than the arithmetic units
// can compute (tuning.h). But few values of a bfloat16 matter: below 2^-25 loss
// and derivative are those of 0, and from 128 on a logit is not ordinary. What
// is between has 32 exponents of 128 fractions. Their losses and derivatives,
// computed by the element function itself, are a table in shared memory.
//
// Elements are taken in pairs, two in a word of 32 bits. Beside the Machine of
// plain-inl.h: LargerHalves(a, b) and SmallerHalves(a, b), of each of the two
// unsigned numbers of 16 bits in a word.

struct LookupEntry {
  float loss;
  float slope;  // the derivative at -|x|
};

struct LookupTable {
  static constexpr uint32_t kFirst = 0x3300;  // 2^-25, as bits of a bfloat16
  static constexpr uint32_t kSize = 0x1000;   // up to the last one below 128
  static constexpr uint32_t kEnd = kFirst + kSize;
  // First those whose target the logit's sign speaks against.
  LookupEntry entries[2 * kSize];
};

// Any entry, in any order and by any thread.
template <class Ops>
LOSSD_ELEMENT_FN void FillEntry(LookupTable& table, uint32_t at) {
  const uint32_t magnitude = LookupTable::kFirst + at % LookupTable::kSize;
  const float side = at < LookupTable::kSize ? 1.0f : 0.0f;
  const ElementResult<Ops> result = CrossEntropyOf<Ops, false>(
      -FloatOfBits(magnitude << 16), WrongWeight<Ops>{side});
  table.entries[at] = {result.loss, result.derivative};
}

// The same number in both halves of a word.
LOSSD_ELEMENT_FN constexpr uint32_t Both(uint32_t half) {
  return half << 16 | half;
}

// Targets k and k + 1 of a row as the highest bit of each half of a word, whose
// other bits are anything.
LOSSD_ELEMENT_FN uint32_t PairOf(const BitTargets<8>::Row& row, int k) {
  return (static_cast<uint32_t>(row.bits) >> k & 3u) * 0x40008000u;
}
LOSSD_ELEMENT_FN uint32_t PairOf(const Words<2>& row, int k) {
  return (row.words[k / 4] >> (8 * (k % 4)) & 0x0101u) * 0x00808000u;
}

// Other bytes than 0 and 1 are bad targets; bits are never.
LOSSD_ELEMENT_FN uint32_t BadBits(const BitTargets<8>::Row&) { return 0; }
LOSSD_ELEMENT_FN uint32_t BadBits(const Words<2>& row) {
  return (row.words[0] | row.words[1]) & 0xfefefefeu;
}

// What tells whether all was ordinary.
struct LookupMarks {
  uint32_t largest = 0;  // magnitudes of logits, by halves
  uint32_t bad = 0;
};

// As ComputeRow().
template <class Types>
LOSSD_ELEMENT_FN void LookUpRow(const LookupTable& table,
                                const PlainBlock<Types>& block, uint32_t at,
                                const PlainRow<Types>& row,
                                double (&loss)[Types::kLanes],
                                LookupMarks& marks) {
  typename Types::Logits gradient;
  marks.bad |= BadBits(row.targets);
  LOSSD_UNROLL for (int k = 0; k < Types::kLanes; k += 2) {
    const uint32_t logits = row.logits.words[k / 2];
    const uint32_t magnitudes = logits & Both(0x7fff);
    marks.largest = Machine::LargerHalves(marks.largest, magnitudes);
    const uint32_t clamped = Machine::SmallerHalves(
        Machine::LargerHalves(magnitudes, Both(LookupTable::kFirst)),
        Both(LookupTable::kEnd - 1));
    const uint32_t spoken_for = (logits ^ PairOf(row.targets, k)) >> 3;
    const uint32_t places = (clamped - Both(LookupTable::kFirst)) |
                            (spoken_for & Both(LookupTable::kSize));
    const LookupEntry low = table.entries[places & 0xffffu];
    const LookupEntry high = table.entries[places >> 16];
    loss[k] += static_cast<double>(low.loss);
    loss[k + 1] += static_cast<double>(high.loss);
    BFloat16 narrowed[2];
    Machine::Narrow(Types::Ops::Mul(low.slope, block.scale),
                    Types::Ops::Mul(high.slope, block.scale), narrowed);
    // Rounding minds no sign, so the signs are turned after it.
    uint32_t pair;
    memcpy(&pair, narrowed, sizeof(pair));
    gradient.words[k / 2] = pair ^ (~logits & Both(0x8000));
  }
  if (block.gradient != nullptr) {
    Machine::Store(gradient, PlaceOf<typename Types::Logits>(
                                 block.gradient, at / Types::kLanes));
  }
}

// As OrdinaryRows().
template <class Types>
LOSSD_ELEMENT_FN bool LookedUpRows(const LookupTable& table,
                                   const PlainBlock<Types>& block, int thread,
                                   double (&loss)[Types::kLanes]) {
  constexpr uint32_t kRow = static_cast<uint32_t>(kBlockLanes);
  const uint32_t rows = block.OrdinaryRowCount();
  uint32_t at = static_cast<uint32_t>(Types::kLanes * thread);
  LookupMarks marks;
  PlainRow<Types> next;
  if (rows > 0) next = LoadRow(block, at);
  for (uint32_t row = 1; row <= rows; ++row) {
    const PlainRow<Types> now = next;
    if (row < rows) next = LoadRow(block, at + kRow);
    LookUpRow(table, block, at, now, loss, marks);
    at += kRow;
  }
  return (marks.largest & 0xffffu) < LookupTable::kEnd &&
         marks.largest >> 16 < LookupTable::kEnd && marks.bad == 0;
}
