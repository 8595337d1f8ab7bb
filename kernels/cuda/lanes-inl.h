// How a thread reads, writes and adds up its lanes of a block.
//
// This is a body without an include guard, like element-inl.h: the kernels
// include it, and so does a test that computes a packed batch on the host. The
// includer defines
//   LOSSD_ELEMENT_FN  stands before a function,
//   LOSSD_UNROLL      stands before a loop over lanes: a device keeps lanes in
//                     registers only if such loops are unrolled,
//   LOSSD_ROLL        stands before a loop that must stay a loop,
// and includes the bodies in this order: element-inl.h, half-inl.h (a host may
// include element_type/half.h), lanes-inl.h, exact-inl.h, fast-inl.h,
// lookup-inl.h.

template <class T>
LOSSD_ELEMENT_FN T At(const std::byte* base, uint64_t index) {
  return reinterpret_cast<const T*>(base)[index];
}

// Returns base + offset, modulo 2^64. Tensors that stay where a client has them
// may lie anywhere, so their offsets may be negative. The address of an element
// that is read is always valid; that of a tensor's element 0 need not be.
LOSSD_ELEMENT_FN const std::byte* PlaceIn(const std::byte* base,
                                          uint64_t offset) {
  return reinterpret_cast<const std::byte*>(reinterpret_cast<uintptr_t>(base) +
                                            offset);
}
LOSSD_ELEMENT_FN std::byte* PlaceIn(std::byte* base, uint64_t offset) {
  return reinterpret_cast<std::byte*>(reinterpret_cast<uintptr_t>(base) +
                                      offset);
}

// Returns the address of vector `index` of those that begin at `base`.
template <class Vector>
LOSSD_ELEMENT_FN const Vector* PlaceOf(const std::byte* base, uint64_t index) {
  return reinterpret_cast<const Vector*>(base) + index;
}
template <class Vector>
LOSSD_ELEMENT_FN Vector* PlaceOf(std::byte* base, uint64_t index) {
  return reinterpret_cast<Vector*>(base) + index;
}

// Neighbouring elements as they are stored. The alignment lets a device load
// and store them together, up to 16 bytes in one instruction.
template <class T, int kCount>
struct alignas(kCount * sizeof(T) < 16 ? kCount * sizeof(T) : 16) Neighbours {
  T values[kCount];
};

template <class Vector>
LOSSD_ELEMENT_FN bool IsAligned(const Vector* place) {
  return reinterpret_cast<uintptr_t>(place) % alignof(Vector) == 0;
}

// Reads elements first .. first + kCount - 1, of which `left` exist; the others
// are 0. `first` is a multiple of kCount. `base` may have any alignment; only
// aligned vectors are read whole. The loop runs over all lanes and skips those
// past the end, because a loop of unknown length cannot be unrolled.
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

// Writes what LoadNeighbours() reads; elements past `left` are not written.
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

// Returns `a`, or the one NaN that all backends give (D7): the sign and payload
// of a computed NaN differ between machines.
template <class Ops>
LOSSD_ELEMENT_FN typename Ops::T CanonicalNan(typename Ops::T a) {
  return a == a ? a : Ops::CanonicalNan();
}

// Adds up the lanes of a block in the order of SumLanes(): a binary tree of
// distance 64, 32, ..., 1. Every thread of the group returns the sum.
//
// Thread `rank` holds lanes kLanes * rank .. kLanes * rank + kLanes - 1.
// `exchange(value, distance)` returns the `value` of thread rank ^ distance.
// Each of the first steps halves the lanes that a thread has to add: one thread
// of a pair keeps the lower half, the other the upper half, and they exchange
// the rest. The order of the two terms of a sum does not change its bits.
template <int kLanes, class Exchange>
LOSSD_ELEMENT_FN double SumOverGroup(int rank, double (&lanes)[kLanes],
                                     Exchange exchange) {
  constexpr int kThreads = static_cast<int>(kBlockLanes) / kLanes;
  int distance = kThreads / 2;
  LOSSD_UNROLL for (int kept = kLanes / 2; kept > 0; kept /= 2) {
    const bool upper = (rank & distance) != 0;
    LOSSD_UNROLL for (int k = 0; k < kept; ++k) {
      const double mine = upper ? lanes[kept + k] : lanes[k];
      const double other = upper ? lanes[k] : lanes[kept + k];
      lanes[k] = mine + exchange(other, distance);
    }
    distance /= 2;
  }
  double sum = lanes[0];
  LOSSD_UNROLL for (; distance > 0; distance /= 2) {
    sum += exchange(sum, distance);
  }
  // Distances below kLanes are left: lanes that one thread held at first.
  LOSSD_UNROLL for (int k = 1; k < kLanes; k *= 2) {
    sum += exchange(sum, kThreads / 2 / k);
  }
  return sum;
}
