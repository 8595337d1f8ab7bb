#include "kernels/cpu/staging.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "element_type/half.h"

namespace lossd::kernels::cpu {
namespace {

// The loops below have no branches that depend on the elements, so that a
// compiler turns them into vector code: otherwise they would take longer than
// the arithmetic.

// The type in which targets of type Stored are compared. It holds each of them
// exactly.
template <class Stored>
struct ComparedAs {
  using Type = float;  // for bytes, half types and float32
};
template <>
struct ComparedAs<double> {
  using Type = double;
};
template <>
struct ComparedAs<int32_t> {
  using Type = double;
};
template <>
struct ComparedAs<int64_t> {
  using Type = int64_t;
};

// The ignored target, if there is one and Compared holds it exactly. NaN, which
// equals nothing, is a case of its own.
template <class Compared>
struct IgnoredTarget {
  bool any = false;
  bool nan = false;
  Compared value{};

  explicit IgnoredTarget(const LossOptions& options) {
    if (!options.ignore_target) return;
    const double wanted = *options.ignore_target;
    nan = std::isnan(wanted);
    if (nan) return;
    if constexpr (std::is_same_v<Compared, int64_t>) {
      any = AsInt64(wanted).has_value();
      value = AsInt64(wanted).value_or(0);
    } else {
      value = static_cast<Compared>(wanted);
      any = static_cast<double>(value) == wanted;
    }
  }
};

// Returns a target as StagedBlock holds it. The range is checked before the
// value is rounded, because a float64 target just outside [0, 1] must not
// become a float32 inside it.
template <class T, bool kUnitInterval, class Compared>
T StagedTarget(Compared value, const IgnoredTarget<Compared>& ignored) {
  constexpr T largest = std::numeric_limits<T>::max();
  const T rounded = static_cast<T>(value);
  const bool good = kUnitInterval
                        ? (value >= 0) & (value <= 1)
                        : (rounded >= -largest) & (rounded <= largest);
  const T kept = good ? rounded : std::numeric_limits<T>::quiet_NaN();
  const bool is_ignored = (ignored.any & (value == ignored.value)) |
                          (ignored.nan & (value != value));
  return is_ignored ? StagedBlock<T>::kIgnored : kept;
}

// Returns element `i` of an array at any address.
template <class Stored>
Stored StoredAt(const std::byte* from, uint64_t i) {
  Stored value;
  std::memcpy(&value, from + i * sizeof(Stored), sizeof(Stored));
  return value;
}

template <class T, class Stored, bool kUnitInterval>
void ConvertTargetsIn(const std::byte* from, uint64_t n,
                      const LossOptions& options, T* to) {
  using Compared = typename ComparedAs<Stored>::Type;
  const IgnoredTarget<Compared> ignored(options);
  for (uint64_t i = 0; i < n; ++i) {
    to[i] = StagedTarget<T, kUnitInterval>(
        Loaded<Compared>(StoredAt<Stored>(from, i)), ignored);
  }
}

template <class T, class Stored>
void ConvertTargets(const std::byte* from, uint64_t n,
                    const LossOptions& options, T* to) {
  if (options.targets_in_unit_interval) {
    ConvertTargetsIn<T, Stored, true>(from, n, options, to);
  } else {
    ConvertTargetsIn<T, Stored, false>(from, n, options, to);
  }
}

// Returns the targets 0 and 1 as they are staged: one of them may be the
// ignored target.
template <class T>
std::array<T, 2> HardTargets(const LossOptions& options) {
  const IgnoredTarget<T> ignored(options);
  return {StagedTarget<T, true>(T{0}, ignored),
          StagedTarget<T, true>(T{1}, ignored)};
}

template <class T>
void ConvertBits(const std::byte* from, uint64_t n, const LossOptions& options,
                 T* to) {
  const std::array<T, 2> hard = HardTargets<T>(options);
  for (uint64_t i = 0; i < n; ++i) {
    const unsigned byte = std::to_integer<unsigned>(from[i / 8]);
    to[i] = hard[(byte >> (i % 8)) & 1];
  }
}

// Converts `n` consecutive elements of an operand.
template <class T>
void ConvertOperand(ElementType type, const std::byte* from, uint64_t n,
                    T* to) {
  WithStored(type, [&](auto stored) {
    for (uint64_t i = 0; i < n; ++i) {
      to[i] = Loaded<T>(StoredAt<decltype(stored)>(from, i));
    }
  });
}

// Sets the weights of ignored elements to 0; returns the number of them.
template <class T>
uint32_t DropIgnored(const T* targets, uint64_t n, T* weights) {
  uint32_t ignored = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const bool is_ignored = targets[i] == StagedBlock<T>::kIgnored;
    weights[i] = is_ignored ? T{0} : weights[i];
    ignored += is_ignored ? 1 : 0;
  }
  return ignored;
}

// Returns the index of the first NaN among `n` values, or `n` if there is none.
template <class T>
uint64_t FirstNan(const T* values, uint64_t n) {
  uint32_t nans = 0;
  for (uint64_t i = 0; i < n; ++i) nans += values[i] != values[i] ? 1 : 0;
  if (nans == 0) return n;
  return static_cast<uint64_t>(
      std::find_if(values, values + n, [](T v) { return v != v; }) - values);
}

// Returns the index of the first value that fails `good` and whose weight is
// not 0, or `n` if there is none. The weight of an ignored element is 0.
template <class T, class Good>
uint64_t FirstBad(const T* values, const T* weights, uint64_t n, Good good) {
  uint32_t bad = 0;
  for (uint64_t i = 0; i < n; ++i) bad += good(values[i]) ? 0 : 1;
  if (bad == 0) return n;
  uint64_t i = 0;
  while (i < n && (good(values[i]) || weights[i] == 0)) ++i;
  return i;
}

// Fills in the sum of the weights and the number of those that are not 0.
template <class T>
void CountWeights(const T* weights, uint64_t n, BlockPartial& partial) {
  uint32_t nonzero = 0;
  for (uint64_t i = 0; i < n; ++i) nonzero += weights[i] != 0 ? 1 : 0;
  partial.nonzero_weight_count = nonzero;
  double lanes[kBlockLanes] = {};
  for (uint64_t row = 0; row < n; row += kBlockLanes) {
    const uint64_t count = std::min(kBlockLanes, n - row);
    for (uint64_t k = 0; k < count; ++k) {
      lanes[k] += static_cast<double>(weights[row + k]);
    }
  }
  partial.weight_sum = SumLanes(lanes);
}

// Returns true if the operand has the logits' layout: nothing is broadcast.
bool IsDense(const Segment& segment, const Operand& operand) {
  uint64_t expected = 1;
  for (int k = segment.shape.rank - 1; k >= 0; --k) {
    if (segment.shape.dims[k] != 1 && operand.strides[k] != expected)
      return false;
    expected *= segment.shape.dims[k];
  }
  return true;
}

}  // namespace

template <class T>
Stager<T>::Stager(const Segment& segment)
    : segment_(segment),
      targets_(segment.targets),
      weights_(segment.weights.tensor),
      pos_weights_(segment.pos_weight.tensor),
      upstream_(segment.upstream.tensor),
      ones_(segment.ones) {}

template <class T>
void Stager<T>::Stage(uint64_t block, bool all, StagedBlock<T>& staged,
                      BlockPartial& partial) {
  const uint64_t first = block * kBlockElements;
  const uint64_t n = std::min(kBlockElements, segment_.element_count - first);
  StageTargets(first, n, staged.targets);
  StageOperand(segment_.weights, weights_, 1, first, n, staged.weights);
  if (all) {
    StageOperand(segment_.pos_weight, pos_weights_, 1, first, n,
                 staged.pos_weights);
    StageOperand(segment_.upstream, upstream_, 1, first, n, staged.upstream);
  }
  const uint64_t bad = FirstNan(staged.targets, n);
  if (bad < n) partial.first_bad_target = first + bad;
  partial.valid_count = static_cast<uint32_t>(n);
  if (segment_.options.ignore_target) {
    partial.valid_count -= DropIgnored(staged.targets, n, staged.weights);
  }
  if (segment_.weights.present()) {
    CountWeights(staged.weights, n, partial);
  } else {  // the sum of ones is exact in any order
    partial.nonzero_weight_count = partial.valid_count;
    partial.weight_sum = static_cast<double>(partial.valid_count);
  }
  if (segment_.row_counts != nullptr) CountRows(block, staged);
  if (all) partial.first_operand_fault = FirstFault(first, n, staged);
}

template <class T>
void Stager<T>::CountRows(uint64_t block, const StagedBlock<T>& staged) const {
  ForEachPiece(segment_, block, [&](const RowPiece& piece) {
    RowCounts counts;
    double lanes[kRowLanes] = {};
    for (uint64_t i = piece.begin; i < piece.end; ++i) {
      counts.valid_count +=
          staged.targets[i] != StagedBlock<T>::kIgnored ? 1 : 0;
      counts.nonzero_weight_count += staged.weights[i] != 0 ? 1 : 0;
      lanes[i % kRowLanes] += static_cast<double>(staged.weights[i]);
    }
    counts.weight_sum = SumLanes(lanes);
    segment_.row_counts[piece.number] = counts;
  });
}

template <class T>
uint64_t Stager<T>::FirstFault(uint64_t first, uint64_t n,
                               const StagedBlock<T>& staged) const {
  uint64_t mark = kNoIndex;
  const auto search = [&](bool wanted, const Operand& operand, const T* values,
                          auto good, OperandFault fault) {
    if (!wanted || !operand.present()) return;
    const uint64_t bad = FirstBad(values, staged.weights, n, good);
    if (bad < n) mark = std::min(mark, FaultMark(first + bad, fault));
  };
  const auto finite = [](T value) { return value - value == 0; };
  const auto not_negative = [](T value) { return !(value < 0); };
  const LossOptions& options = segment_.options;
  const bool all_finite = options.reject_nan_logits;
  search(all_finite, segment_.weights, staged.weights, finite,
         OperandFault::kWeightNotFinite);
  search(options.reject_negative_weights, segment_.weights, staged.weights,
         not_negative, OperandFault::kWeightNegative);
  search(all_finite, segment_.pos_weight, staged.pos_weights, finite,
         OperandFault::kPosWeightNotFinite);
  search(all_finite && segment_.checks_upstream, segment_.upstream,
         staged.upstream, finite, OperandFault::kUpstreamNotFinite);
  return mark;
}

template <class T>
void Stager<T>::StageTargets(uint64_t first, uint64_t n, T* to) {
  const LossOptions& options = segment_.options;
  if (!segment_.targets.present()) {
    const auto [zero, one] = HardTargets<T>(options);
    std::fill_n(to, n, zero);
    return ones_.Mark(first, n, one, to);
  }
  const ElementType type = segment_.targets.type;
  alignas(64) std::byte scratch[kBlockElements * 8];
  // A block starts at a multiple of 8 elements, so bits start at a whole byte.
  const std::byte* from =
      targets_.Fetch(ByteSize(type, first), ByteSize(type, n), scratch);
  if (type == ElementType::kBit) return ConvertBits<T>(from, n, options, to);
  WithStored(type, [&](auto stored) {
    ConvertTargets<T, decltype(stored)>(from, n, options, to);
  });
}

template <class T>
void Stager<T>::StageOperand(const Operand& operand, PieceCursor& cursor,
                             double absent, uint64_t first, uint64_t n, T* to) {
  if (!operand.present()) {
    std::fill_n(to, n, static_cast<T>(absent));
    return;
  }
  const ElementType type = operand.tensor.type;
  const uint64_t size = ByteSize(type, 1);
  alignas(64) std::byte scratch[kBlockElements * 8];
  if (IsDense(segment_, operand)) {
    ConvertOperand(type, cursor.Fetch(first * size, n * size, scratch), n, to);
    return;
  }
  // Each round reads a run of elements within a row of the innermost
  // dimension.
  const Shape& shape = segment_.shape;
  const int last = shape.rank - 1;
  uint64_t index = first;
  for (uint64_t i = 0; i < n;) {
    uint64_t rest = index;
    uint64_t position = 0;
    for (int k = last; k >= 0; --k) {
      position += rest % shape.dims[k] * operand.strides[k];
      rest /= shape.dims[k];
    }
    const uint64_t stride = operand.strides[last];
    // Elements that are not consecutive in memory are read one at a time.
    const uint64_t run =
        stride > 1
            ? 1
            : std::min(n - i, shape.dims[last] - index % shape.dims[last]);
    const uint64_t span = stride == 0 ? 1 : run;
    ConvertOperand(type, cursor.Fetch(position * size, span * size, scratch),
                   span, to + i);
    if (stride == 0) std::fill_n(to + i, run, to[i]);
    i += run;
    index += run;
  }
}

template class Stager<float>;
template class Stager<double>;

}  // namespace lossd::kernels::cpu
