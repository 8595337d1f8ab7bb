// The table loop: float8 logits with targets of 0 or 1. Such an element is one
// of 512, and its loss and derivatives are one of 512 results. The exact loop
// computes these once in a call, and every element is then looked up (D85).
//
// This file is a body without an include guard. Each instruction set includes
// it in its own namespace, after exact-inl.h. The vectors are the compiler's
// own, so that each instruction set gets its own code for them.

using LaneVector [[gnu::vector_size(32)]] = double;
using WordVector [[gnu::vector_size(32)]] = uint64_t;
using PlaceVector [[gnu::vector_size(32)]] = uint16_t;
using ByteVector [[gnu::vector_size(16)]] = uint8_t;

// The results of all elements. The place of an element is its logit's byte,
// plus 256 where the target is 1.
struct ResultTable {
  static constexpr uint64_t kSize = 512;
  // The place of an element that is ignored or is not there: results of 0.
  static constexpr uint16_t kNothing = kSize;
  // An entry is a loss that has float32's digits, as float64. Its lowest byte
  // would be 0: there lies the gradient, if that takes one byte.
  static constexpr uint64_t kGradientBits = 0xff;
  double entries[kSize + 1] = {};
  // Results as they are stored; 0 where they are not wanted.
  alignas(64) std::byte gradient[(kSize + 1) * sizeof(double)] = {};
  alignas(64) std::byte second[(kSize + 1) * sizeof(double)] = {};
  alignas(64) std::byte losses[(kSize + 1) * sizeof(double)] = {};
};

// Calls of fewer elements are computed by the exact loop. A table takes it 6
// us, as some 3,000 elements do, because many float8 logits have subnormal
// results.
inline constexpr uint64_t kLeastLookedUp = 3072;  // D85

// Returns true if the results depend on nothing but the logit and the target.
// Only targets of whole bytes can be told apart from one to ignore.
inline bool IsTabulated(const Segment& segment) {
  const ElementType targets = segment.targets.type;
  const double ignored = segment.options.ignore_target.value_or(-1);
  const bool hard =
      targets == ElementType::kUint8 || targets == ElementType::kBool ||
      (targets == ElementType::kBit && ignored != 0 && ignored != 1);
  return segment.targets.present() && hard && !segment.weights.present() &&
         !segment.pos_weight.present() && !segment.upstream.present() &&
         segment.row_sums == nullptr;
}

// Computes the table of a segment for which IsTabulated() is true.
template <class Ops>
void FillTable(const Segment& segment, float scale, ResultTable& table) {
  std::byte logits[ResultTable::kSize];
  std::byte targets[ResultTable::kSize / 8];
  for (uint64_t i = 0; i < ResultTable::kSize; ++i) {
    logits[i] = static_cast<std::byte>(i % 256);
    targets[i / 8] = i < 256 ? std::byte{0} : std::byte{0xff};
  }
  const Piece pieces[] = {logits, targets};
  alignas(64) float summands[ResultTable::kSize];
  Segment all = segment;
  all.shape = {1, {ResultTable::kSize}};
  all.element_count = ResultTable::kSize;
  all.logits.pieces = {&pieces[0], 1};
  all.targets = {ElementType::kBit, {&pieces[1], 1}};
  if (segment.gradient != nullptr) all.gradient = table.gradient;
  if (segment.second_derivative != nullptr)
    all.second_derivative = table.second;
  all.losses = reinterpret_cast<std::byte*>(summands);
  all.losses_type = ElementType::kFloat32;
  all.options.loss_weight = 1;
  BlockPartial partial;
  ComputeExact<Ops>(all, scale, 0, {&partial, 1});
  const bool has_byte =
      segment.gradient != nullptr && ByteSize(segment.gradient_type, 1) == 1;
  for (uint64_t i = 0; i < ResultTable::kSize; ++i) {
    const auto loss = static_cast<double>(summands[i]);
    uint64_t bits;
    std::memcpy(&bits, &loss, sizeof(bits));
    if (has_byte) bits |= std::to_integer<uint64_t>(table.gradient[i]);
    std::memcpy(&table.entries[i], &bits, sizeof(bits));
  }
  if (segment.losses == nullptr) return;
  all.options.loss_weight = segment.options.loss_weight;
  all.gradient = all.second_derivative = nullptr;
  all.losses = table.losses;
  all.losses_type = segment.losses_type;
  ComputeExact<Ops>(all, scale, 0, {&partial, 1});
}

// Sets the places of `n` elements whose targets are packed.
inline void PlaceBits(const std::byte* logits, const std::byte* targets,
                      uint64_t n, uint16_t* places) {
  constexpr PlaceVector kEachBit = {
      1,      2,      4,       8,       1 << 4,  1 << 5,  1 << 6,  1 << 7,
      1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};
  uint64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    uint16_t packed;
    ByteVector bytes;
    std::memcpy(&packed, targets + i / 8, sizeof(packed));
    std::memcpy(&bytes, logits + i, sizeof(bytes));
    const PlaceVector is_one =
        reinterpret_cast<PlaceVector>((packed & kEachBit) == kEachBit);
    const PlaceVector sixteen =
        __builtin_convertvector(bytes, PlaceVector) | (is_one & 256);
    std::memcpy(places + i, &sixteen, sizeof(sixteen));
  }
  for (; i < n; ++i) {
    const unsigned byte = std::to_integer<unsigned>(targets[i / 8]);
    places[i] = static_cast<uint16_t>(std::to_integer<unsigned>(logits[i]) |
                                      (((byte >> (i % 8)) & 1) << 8));
  }
}

// Returns the byte of a target to ignore, or a number that is no byte.
inline uint16_t IgnoredByte(const LossOptions& options) {
  const double ignored = options.ignore_target.value_or(-1);
  const bool is_byte = ignored >= 0 && ignored <= 255 &&
                       ignored == static_cast<uint8_t>(ignored);
  return is_byte ? static_cast<uint16_t>(ignored) : 256;
}

struct PlacedBytes {
  bool good = false;     // every other target is 0 or 1
  uint16_t ignored = 0;  // elements
};

// Sets the places of `n` elements whose targets are bytes.
inline PlacedBytes PlaceBytes(const std::byte* logits, const std::byte* targets,
                              uint64_t n, uint16_t ignored, uint16_t* places) {
  uint16_t seen = 0, count = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const auto target = std::to_integer<uint16_t>(targets[i]);
    const auto element = static_cast<uint16_t>(
        std::to_integer<uint16_t>(logits[i]) | (target & 1) << 8);
    const bool is_ignored = target == ignored;
    seen |= is_ignored ? uint16_t{0} : target;
    count += is_ignored ? 1 : 0;
    places[i] = is_ignored ? ResultTable::kNothing : element;
  }
  return {seen <= 1, count};
}

// Looks up `rows` rows of kBlockLanes places each: sets `lanes` to the sums of
// the losses and, with kGradient, writes the gradients' bytes.
//
// A quarter of the lanes stays in eight registers while all rows are read. Word
// j of vector k is lane 8 j + k of the quarter, so that the gradients' bytes
// come into their order by shifts alone. Four loads and three moves are three
// times as fast as AVX2's gather, and a tenth slower than that of AVX-512.
template <bool kGradient>
void LookUpRows(const double* entries, const uint16_t* places, uint64_t rows,
                std::byte* gradient, double* lanes) {
  constexpr uint64_t kQuarter = kBlockLanes / 4;
  for (uint64_t first = 0; first < kBlockLanes; first += kQuarter) {
    LaneVector sums[8] = {};
    for (uint64_t row = 0; row < rows; ++row) {
      const uint64_t start = row * kBlockLanes + first;
      const uint16_t* const at = places + start;
      WordVector bytes = {};
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) {
        const LaneVector entry = {entries[at[k]], entries[at[8 + k]],
                                  entries[at[16 + k]], entries[at[24 + k]]};
        const auto bits = reinterpret_cast<WordVector>(entry);
        sums[k] +=
            reinterpret_cast<LaneVector>(bits & ~ResultTable::kGradientBits);
        if constexpr (kGradient) {
          bytes |= (bits & ResultTable::kGradientBits) << (8 * k);
        }
      }
      if constexpr (kGradient) {
        std::memcpy(gradient + start, &bytes, sizeof(bytes));
      }
    }
    for (uint64_t k = 0; k < 8; ++k) {
      for (uint64_t j = 0; j < 4; ++j) lanes[first + 8 * j + k] = sums[k][j];
    }
  }
}

// Copies the results of `n` elements from `table`, which has them as `type`, to
// those from element `first` on; does nothing where `to` is null.
inline void CopyResults(ElementType type, const std::byte* table,
                        const uint16_t* places, uint64_t first, uint64_t n,
                        std::byte* to) {
  if (to == nullptr) return;
  WithStoredFloat(type, [&](auto stored) {
    using Stored = decltype(stored);
    const auto* const from = reinterpret_cast<const Stored*>(table);
    auto* const out = reinterpret_cast<Stored*>(to) + first;
    for (uint64_t i = 0; i < n; ++i) out[i] = from[places[i]];
  });
}

// Looks up a block of `n` elements that starts at element `first`, `valid` of
// which are not ignored, and fills in its partial. Returns false if a logit is
// a NaN: the exact loop then computes the block again.
inline bool LookUpBlock(const ResultTable& table, const Segment& segment,
                        uint16_t* places, uint64_t first, uint64_t n,
                        uint64_t valid, BlockPartial& partial) {
  alignas(64) double lanes[kBlockLanes];
  alignas(64) std::byte scratch[kBlockElements];
  const uint64_t rows = (n + kBlockLanes - 1) / kBlockLanes;
  std::fill(places + n, places + rows * kBlockLanes, ResultTable::kNothing);
  const bool has_byte =
      segment.gradient != nullptr && ByteSize(segment.gradient_type, 1) == 1;
  if (has_byte) {
    const bool whole = n == kBlockElements;
    std::byte* const gradient = segment.gradient + first;
    LookUpRows<true>(table.entries, places, rows, whole ? gradient : scratch,
                     lanes);
    if (!whole) std::memcpy(gradient, scratch, n);
  } else {
    LookUpRows<false>(table.entries, places, rows, nullptr, lanes);
    CopyResults(segment.gradient_type, table.gradient, places, first, n,
                segment.gradient);
  }
  CopyResults(segment.gradient_type, table.second, places, first, n,
              segment.second_derivative);
  CopyResults(segment.losses_type, table.losses, places, first, n,
              segment.losses);
  partial.loss_sum = SumLanes(lanes);
  partial.valid_count = static_cast<uint32_t>(valid);
  partial.nonzero_weight_count = static_cast<uint32_t>(valid);
  partial.weight_sum = static_cast<double>(valid);
  return !std::isnan(partial.loss_sum);
}

// Computes the blocks of a segment for which IsTabulated() is true, each by the
// exact loop where the table has no answer.
template <class Ops>
void LookUpBlocks(const Segment& segment, float scale, uint64_t first_block,
                  std::span<BlockPartial> partials) {
  ResultTable table;
  FillTable<Ops>(segment, scale, table);
  alignas(64) std::byte logits_scratch[kBlockElements];
  alignas(64) std::byte targets_scratch[kBlockElements];
  alignas(64) uint16_t places[kBlockElements];
  PieceCursor logits(segment.logits);
  PieceCursor targets(segment.targets);
  const ElementType type = segment.targets.type;
  const uint16_t ignored = IgnoredByte(segment.options);
  for (uint64_t k = 0; k < partials.size(); ++k) {
    const uint64_t first = (first_block + k) * kBlockElements;
    const uint64_t n = std::min(kBlockElements, segment.element_count - first);
    const std::byte* const from = logits.Fetch(first, n, logits_scratch);
    const std::byte* const of = targets.Fetch(
        ByteSize(type, first), ByteSize(type, n), targets_scratch);
    PlacedBytes placed = {.good = true};
    if (type == ElementType::kBit) {
      PlaceBits(from, of, n, places);
    } else {
      placed = PlaceBytes(from, of, n, ignored, places);
    }
    partials[k] = BlockPartial();
    if (!placed.good || !LookUpBlock(table, segment, places, first, n,
                                     n - placed.ignored, partials[k])) {
      ComputeExact<Ops>(segment, scale, first_block + k,
                        partials.subspan(k, 1));
    }
  }
}

// Computes the blocks of a segment of float8 logits.
template <class Ops>
void ComputeFloat8Blocks(const Segment& segment, double gradient_scale,
                         uint64_t first_block,
                         std::span<BlockPartial> partials) {
  const auto scale = static_cast<float>(gradient_scale);
  const uint64_t elements =
      std::min(partials.size() * kBlockElements,
               segment.element_count - first_block * kBlockElements);
  if (elements >= kLeastLookedUp && IsTabulated(segment)) {
    LookUpBlocks<Ops>(segment, scale, first_block, partials);
  } else {
    ComputeExact<Ops>(segment, scale, first_block, partials);
  }
}
