// The cross-entropy of bfloat16 logits and targets of 0 or 1, from a table.
//
// This is a body; lanes-inl.h says what the includer defines and includes.
//
// Such an element is 4.125 bytes of traffic, so memory at its limit delivers
// three times as many elements as of float32, more than the arithmetic units
// can compute (tuning.h). But few values of a bfloat16 matter: below 2^-25 the
// loss and the derivative are those of 0, and logits of 128 and more are left
// to ExactRows(). Between them lie 32 exponents of 128 fractions. A table in
// shared memory holds their losses and derivatives, computed by the element
// function.
//
// Elements are computed in pairs, two in a word of 32 bits. VectorMemory also
// has MaxHalves(a, b) and MinHalves(a, b): the maximum and the minimum of each
// of the two unsigned 16-bit numbers in a word.

struct LookupEntry {
  float loss;
  float slope;  // the derivative at -|x|
};

struct LookupTable {
  static constexpr uint32_t kFirst = 0x3300;  // 2^-25, as bits of a bfloat16
  static constexpr uint32_t kSize = 0x1000;   // up to the last one below 128
  static constexpr uint32_t kEnd = kFirst + kSize;
  // The first half is for wrong signs: a positive logit with target 0, or a
  // negative one with target 1.
  LookupEntry entries[2 * kSize];
};

// Computes entry `at`. Any thread may compute any entry, in any order.
template <class Ops>
LOSSD_ELEMENT_FN void FillEntry(LookupTable& table, uint32_t at) {
  const uint32_t magnitude = LookupTable::kFirst + at % LookupTable::kSize;
  const float wrong_weight = at < LookupTable::kSize ? 1.0f : 0.0f;
  const ElementResult<Ops> result = CrossEntropyOf<Ops, false>(
      -FloatOfBits(magnitude << 16), WrongWeight<Ops>{wrong_weight});
  table.entries[at] = {result.loss, result.derivative};
}

// Returns a word with `half` in both halves.
LOSSD_ELEMENT_FN constexpr uint32_t Both(uint32_t half) {
  return half << 16 | half;
}

// Returns targets k and k + 1 of a row as the highest bit of each half of a
// word. The other bits have no meaning.
LOSSD_ELEMENT_FN uint32_t PairOf(const BitTargets<8>::Row& row, int k) {
  return (static_cast<uint32_t>(row.bits) >> k & 3u) * 0x40008000u;
}
LOSSD_ELEMENT_FN uint32_t PairOf(const Words<2>& row, int k) {
  return (row.words[k / 4] >> (8 * (k % 4)) & 0x0101u) * 0x00808000u;
}

// Returns 0 if every target of the row is 0 or 1. Bits always are.
LOSSD_ELEMENT_FN uint32_t BadBits(const BitTargets<8>::Row&) { return 0; }
LOSSD_ELEMENT_FN uint32_t BadBits(const Words<2>& row) {
  return (row.words[0] | row.words[1]) & 0xfefefefeu;
}

// Shows after the last row whether the table had every element.
struct LookupMarks {
  uint32_t largest = 0;  // logit magnitudes, a maximum for each half
  uint32_t bad = 0;
};

// Computes one row, like ComputeRow().
template <class Types>
LOSSD_ELEMENT_FN void LookUpOneRow(const LookupTable& table,
                                   const FastBlock<Types>& block, uint32_t at,
                                   const FastRow<Types>& row,
                                   double (&loss)[Types::kLanes],
                                   LookupMarks& marks) {
  typename Types::Logits gradient;
  marks.bad |= BadBits(row.targets);
  LOSSD_UNROLL for (int k = 0; k < Types::kLanes; k += 2) {
    const uint32_t logits = row.logits.words[k / 2];
    const uint32_t magnitudes = logits & Both(0x7fff);
    marks.largest = VectorMemory::MaxHalves(marks.largest, magnitudes);
    const uint32_t clamped = VectorMemory::MinHalves(
        VectorMemory::MaxHalves(magnitudes, Both(LookupTable::kFirst)),
        Both(LookupTable::kEnd - 1));
    const uint32_t right_sign = (logits ^ PairOf(row.targets, k)) >> 3;
    const uint32_t places = (clamped - Both(LookupTable::kFirst)) |
                            (right_sign & Both(LookupTable::kSize));
    const LookupEntry low = table.entries[places & 0xffffu];
    const LookupEntry high = table.entries[places >> 16];
    loss[k] += static_cast<double>(low.loss);
    loss[k + 1] += static_cast<double>(high.loss);
    BFloat16 narrowed[2];
    VectorMemory::Narrow(Types::Ops::Mul(low.slope, block.scale),
                         Types::Ops::Mul(high.slope, block.scale), narrowed);
    // Rounding is the same for both signs, so the signs are set after it.
    uint32_t pair;
    memcpy(&pair, narrowed, sizeof(pair));
    gradient.words[k / 2] = pair ^ (~logits & Both(0x8000));
  }
  if (block.gradient != nullptr) {
    VectorMemory::Store(gradient, PlaceOf<typename Types::Logits>(
                                      block.gradient, at / Types::kLanes));
  }
}

// Computes whole rows from the table, like FastRows().
template <class Types>
LOSSD_ELEMENT_FN bool LookUpRows(const LookupTable& table,
                                 const FastBlock<Types>& block, int thread,
                                 double (&loss)[Types::kLanes]) {
  constexpr uint32_t kRow = static_cast<uint32_t>(kBlockLanes);
  const uint32_t rows = block.FastRowCount();
  uint32_t at = static_cast<uint32_t>(Types::kLanes * thread);
  LookupMarks marks;
  FastRow<Types> next;
  if (rows > 0) next = LoadRow(block, at);
  for (uint32_t row = 1; row <= rows; ++row) {
    const FastRow<Types> now = next;
    if (row < rows) next = LoadRow(block, at + kRow);
    LookUpOneRow(table, block, at, now, loss, marks);
    at += kRow;
  }
  return (marks.largest & 0xffffu) < LookupTable::kEnd &&
         marks.largest >> 16 < LookupTable::kEnd && marks.bad == 0;
}
