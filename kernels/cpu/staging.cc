#include "kernels/cpu/staging.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lossd::kernels::cpu {
namespace {

// The value as the logits' type. A float64 target just outside [0, 1] must not
// become a float32 one inside, so the range is checked before it is rounded.
template <class T, class Source>
T StagedTarget(Source value, const LossOptions& options) {
  const double wide = static_cast<double>(value);
  if (options.ignore_target && wide == *options.ignore_target)
    return StagedBlock<T>::kIgnored;
  const bool good = options.targets_in_unit_interval
                        ? wide >= 0 && wide <= 1
                        : std::isfinite(static_cast<T>(wide));
  return good ? static_cast<T>(value) : std::numeric_limits<T>::quiet_NaN();
}

template <class T, class Source>
void ConvertTargets(const std::byte* from, uint64_t n,
                    const LossOptions& options, T* to) {
  for (uint64_t i = 0; i < n; ++i) {
    Source value;
    std::memcpy(&value, from + i * sizeof(Source), sizeof(Source));
    to[i] = StagedTarget<T>(value, options);
  }
}

template <class T>
void ConvertBits(const std::byte* from, uint64_t n, const LossOptions& options,
                 T* to) {
  const T zero = StagedTarget<T>(0, options);
  const T one = StagedTarget<T>(1, options);
  for (uint64_t i = 0; i < n; ++i) {
    const unsigned byte = std::to_integer<unsigned>(from[i / 8]);
    to[i] = ((byte >> (i % 8)) & 1) != 0 ? one : zero;
  }
}

// Fills to[i] with the elements of a float operand that lie one after the
// other.
template <class T>
void ConvertFloats(ElementType type, const std::byte* from, uint64_t n, T* to) {
  if (type == ElementType::kFloat32) {
    for (uint64_t i = 0; i < n; ++i) {
      float value;
      std::memcpy(&value, from + i * sizeof(value), sizeof(value));
      to[i] = static_cast<T>(value);
    }
  } else {
    for (uint64_t i = 0; i < n; ++i) {
      double value;
      std::memcpy(&value, from + i * sizeof(value), sizeof(value));
      to[i] = static_cast<T>(value);
    }
  }
}

// True if the operand's elements lie as the logits do: nothing is broadcast.
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

const std::byte* PieceCursor::Fetch(uint64_t offset, size_t size,
                                    std::byte* scratch) {
  if (offset < piece_start_) {
    piece_ = 0;
    piece_start_ = 0;
  }
  while (piece_ < pieces_.size() &&
         offset >= piece_start_ + pieces_[piece_].size()) {
    piece_start_ += pieces_[piece_].size();
    ++piece_;
  }
  if (piece_ == pieces_.size()) return scratch;  // size is 0: nothing is there
  uint64_t within = offset - piece_start_;
  if (within + size <= pieces_[piece_].size())
    return pieces_[piece_].data() + within;
  std::byte* to = scratch;
  for (size_t p = piece_; size > 0; ++p, within = 0) {
    const size_t here = std::min<size_t>(size, pieces_[p].size() - within);
    if (here > 0) std::memcpy(to, pieces_[p].data() + within, here);
    to += here;
    size -= here;
  }
  return scratch;
}

template <class T>
Stager<T>::Stager(const Segment& segment)
    : segment_(segment),
      targets_(segment.targets),
      weights_(segment.weights.tensor),
      pos_weights_(segment.pos_weight.tensor),
      upstream_(segment.upstream.tensor) {}

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
  double lanes[kBlockLanes] = {};
  for (uint64_t i = 0; i < n; ++i) {
    if (staged.targets[i] == StagedBlock<T>::kIgnored) {
      staged.weights[i] = 0;
      continue;
    }
    if (std::isnan(staged.targets[i]) && partial.first_bad_target == kNoIndex) {
      partial.first_bad_target = first + i;
    }
    ++partial.valid_count;
    partial.nonzero_weight_count += staged.weights[i] != 0 ? 1 : 0;
    lanes[i % kBlockLanes] += static_cast<double>(staged.weights[i]);
  }
  partial.weight_sum = SumLanes(lanes);
}

template <class T>
void Stager<T>::StageTargets(uint64_t first, uint64_t n, T* to) {
  const LossOptions& options = segment_.options;
  const ElementType type = segment_.targets.type;
  alignas(64) std::byte scratch[kBlockElements * 8];
  // A block starts at a multiple of 8 elements, so bits start at a whole byte.
  const std::byte* from =
      targets_.Fetch(ByteSize(type, first), ByteSize(type, n), scratch);
  switch (type) {
    case ElementType::kFloat32:
      return ConvertTargets<T, float>(from, n, options, to);
    case ElementType::kFloat64:
      return ConvertTargets<T, double>(from, n, options, to);
    case ElementType::kUint8:
    case ElementType::kBool:
      return ConvertTargets<T, uint8_t>(from, n, options, to);
    case ElementType::kInt32:
      return ConvertTargets<T, int32_t>(from, n, options, to);
    case ElementType::kInt64:
      return ConvertTargets<T, int64_t>(from, n, options, to);
    case ElementType::kBit:
      return ConvertBits<T>(from, n, options, to);
    case ElementType::kBFloat16:
    case ElementType::kFloat16:
      break;
  }
  // Validation refuses the half types.
  std::fill_n(to, n, std::numeric_limits<T>::quiet_NaN());
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
    ConvertFloats(type, cursor.Fetch(first * size, n * size, scratch), n, to);
    return;
  }
  // Rows of the innermost dimension; the coordinates of the row advance like a
  // counter.
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
    const uint64_t run =
        std::min(n - i, shape.dims[last] - index % shape.dims[last]);
    const uint64_t stride = operand.strides[last];
    const uint64_t span = stride == 0 ? 1 : run;
    ConvertFloats(type, cursor.Fetch(position * size, span * size, scratch),
                  span, to + i);
    if (stride == 0) std::fill_n(to + i, run, to[i]);
    i += run;
    index += run;
  }
}

template class Stager<float>;
template class Stager<double>;

}  // namespace lossd::kernels::cpu
