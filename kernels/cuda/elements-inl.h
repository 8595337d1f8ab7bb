// How a thread reads and writes elements of every type. A body, included by
// exact-inl.h.

template <class T>
LOSSD_ELEMENT_FN T At(const std::byte* base, uint64_t index) {
  return reinterpret_cast<const T*>(base)[index];
}

// What is at `offset` from a block of a batch, modulo 2^64: half of the offsets
// are negative. Of what is resident that is anywhere; in bounds is the place
// that an element is then read from, not the base of its tensor.
LOSSD_ELEMENT_FN const std::byte* PlaceIn(const std::byte* base,
                                          uint64_t offset) {
  return reinterpret_cast<const std::byte*>(reinterpret_cast<uintptr_t>(base) +
                                            offset);
}
LOSSD_ELEMENT_FN std::byte* PlaceIn(std::byte* base, uint64_t offset) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<uintptr_t>(base) +
                                      offset);
}

// Where vector `index` of those that begin at `base` lies.
template <class Vector>
LOSSD_ELEMENT_FN const Vector* PlaceOf(const std::byte* base, uint64_t index) {
  return reinterpret_cast<const Vector*>(base) + index;
}
template <class Vector>
LOSSD_ELEMENT_FN Vector* PlaceOf(std::byte* base, uint64_t index) {
  return reinterpret_cast<Vector*>(base) + index;
}

// Neighbours as they are stored, loaded and stored as one, or by 16 bytes.
template <class T, int kCount>
struct alignas(kCount * sizeof(T) < 16 ? kCount * sizeof(T) : 16) Neighbours {
  T values[kCount];
};
template <class T>
using Quad = Neighbours<T, kThreadLanes>;

template <class Vector>
LOSSD_ELEMENT_FN bool IsAligned(const Vector* place) {
  return reinterpret_cast<uintptr_t>(place) % alignof(Vector) == 0;
}

// `first` is a multiple of kCount, of which `left` elements are there. Tensors
// of a batch are aligned (kTensorAlignment); others may be read, too. Loops run
// over all lanes and skip those past the end: a loop of unknown length cannot
// be unrolled.
template <class T, int kCount>
LOSSD_ELEMENT_FN Neighbours<T, kCount> LoadNeighbours(const std::byte* base,
                                                      uint64_t first,
                                                      uint64_t left) {
  using Vector = Neighbours<T, kCount>;
  const Vector* const place = PlaceOf<Vector>(base, first / kCount);
  if (left >= kCount && IsAligned(place)) return *place;
  Vector vector = {};
  LOSSD_UNROLL for (int k = 0; k < kCount; ++k) {
    if (static_cast<uint64_t>(k) < left)
      vector.values[k] = At<T>(base, first + k);
  }
  return vector;
}

template <class T, int kCount>
LOSSD_ELEMENT_FN void StoreNeighbours(const Neighbours<T, kCount>& vector,
                                      std::byte* base, uint64_t first,
                                      uint64_t left) {
  using Vector = Neighbours<T, kCount>;
  Vector* const place = PlaceOf<Vector>(base, first / kCount);
  if (left >= kCount && IsAligned(place)) {
    *place = vector;
    return;
  }
  T* const to = PlaceOf<T>(base, first);
  LOSSD_UNROLL for (int k = 0; k < kCount; ++k) {
    if (static_cast<uint64_t>(k) < left) to[k] = vector.values[k];
  }
}

// Logits as the arithmetic's type T: exact.
template <class T>
LOSSD_ELEMENT_FN Quad<T> LoadLogits(ElementType type, const std::byte* base,
                                    uint64_t first, uint64_t left) {
  Quad<T> logits = {};
  WithStoredFloat(type, [&](auto stored) {
    const auto quad =
        LoadNeighbours<decltype(stored), kThreadLanes>(base, first, left);
    LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
      logits.values[k] = Loaded<T>(quad.values[k]);
    }
  });
  return logits;
}

// Results of the arithmetic's type T as `type`: rounded once.
template <class T>
LOSSD_ELEMENT_FN void StoreResults(ElementType type, const Quad<T>& results,
                                   std::byte* base, uint64_t first,
                                   uint64_t left) {
  WithStoredFloat(type, [&](auto stored) {
    Quad<decltype(stored)> quad = {};
    LOSSD_UNROLL for (int k = 0; k < kThreadLanes; ++k) {
      StoreRounded(results.values[k], &quad.values[k]);
    }
    StoreNeighbours(quad, base, first, left);
  });
}

template <class T>
LOSSD_ELEMENT_FN T OperandAt(const PackedSegment& segment,
                             const PackedOperand& operand,
                             const std::byte* input, uint64_t index) {
  uint64_t position = index;
  if (operand.access == Access::kAbsent) return 1;
  if (operand.access == Access::kScalar) position = 0;
  if (operand.access == Access::kStrided) {
    position = 0;
    for (int k = segment.rank - 1; k >= 0; --k) {
      position += index % segment.dims[k] * operand.strides[k];
      index /= segment.dims[k];
    }
  }
  T value = 0;
  WithStored(operand.type, [&](auto stored) {
    value = Loaded<T>(
        At<decltype(stored)>(PlaceIn(input, operand.offset), position));
  });
  return value;
}

// Where a thread is among the ones of its segment: it asks for elements that
// rise. The elements before the next quad are kBlockLanes, and so at most are
// the ones among them: only the first search is through the whole list.
struct OnesWalk {
  uint64_t number = 0;  // of the first one that is not before the next element
  uint64_t reach = kNoIndex;  // how far beyond `number` to search
};

LOSSD_ELEMENT_FN uint64_t OneAt(const PackedSegment& segment,
                                const std::byte* input, uint64_t number) {
  return segment.target_form == TargetForm::kListedOnes
             ? At<uint64_t>(PlaceIn(input, segment.targets), number)
             : segment.ones_first + number * segment.ones_stride;
}

// Moves to the first one at or after `index`.
LOSSD_ELEMENT_FN void WalkTo(const PackedSegment& segment,
                             const std::byte* input, uint64_t index,
                             OnesWalk& walk) {
  if (segment.target_form == TargetForm::kTensor) return;
  if (segment.target_form == TargetForm::kSteppedOnes) {
    const uint64_t stride = segment.ones_stride;
    walk.number = index <= segment.ones_first
                      ? 0
                      : (index - segment.ones_first + stride - 1) / stride;
    return;
  }
  uint64_t low = walk.number;
  uint64_t high = segment.ones_count;
  if (high - low > walk.reach) high = low + walk.reach;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const bool before = OneAt(segment, input, middle) < index;
    low = before ? middle + 1 : low;
    high = before ? high : middle;
  }
  walk = {low, kBlockLanes};
}

// A target as the arithmetic takes it.
template <class T>
struct Target {
  T value;
  bool good;  // in the range that is allowed
  bool ignored;
};

// `value` as stored, or what holds it exactly: a float64 just outside [0, 1] is
// not to become a float32 inside.
template <class T, class Value>
LOSSD_ELEMENT_FN Target<T> TargetOf(const PackedSegment& segment, Value value,
                                    Value ignored) {
  const T rounded = static_cast<T>(value);
  const bool good = segment.targets_in_unit_interval
                        ? value >= 0 && value <= 1
                        : rounded - rounded == 0;  // finite
  return {rounded, good, segment.ignores && value == ignored};
}

// The target of element `index`; `walk` is at its one, if it is one, and moves
// on.
template <class T>
LOSSD_ELEMENT_FN Target<T> TargetAt(const PackedSegment& segment,
                                    const std::byte* input, uint64_t index,
                                    OnesWalk& walk) {
  const std::byte* base = PlaceIn(input, segment.targets);
  double value = 0;
  if (segment.target_form != TargetForm::kTensor) {
    if (walk.number < segment.ones_count &&
        OneAt(segment, input, walk.number) == index) {
      ++walk.number;
      value = 1;
    }
  } else if (segment.targets_type == ElementType::kBit) {
    value = (At<uint8_t>(base, index / 8) >> (index % 8)) & 1;
  } else if (segment.targets_type == ElementType::kInt64) {
    return TargetOf<T>(segment, At<int64_t>(base, index),
                       segment.ignore_integer);
  } else {  // float64 holds every other type exactly
    WithStored(segment.targets_type, [&](auto stored) {
      value = Loaded<double>(At<decltype(stored)>(base, index));
    });
  }
  return TargetOf<T>(segment, value, segment.ignore_target);
}
