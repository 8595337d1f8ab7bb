// How a device moves and converts vectors: the VectorMemory that fast-inl.h
// asks for. This is a body; device.cuh includes it.
struct VectorMemory {
  // Rows are read and written once, so no cache should keep them.
  template <class Row>
  static __device__ __forceinline__ Row Load(const Row* from) {
    Row row;
    if constexpr (sizeof(Row) % 16 == 0) {
      uint4 words[sizeof(Row) / 16];
      LOSSD_UNROLL for (size_t k = 0; k < sizeof(Row) / 16; ++k) {
        words[k] = __ldcs(reinterpret_cast<const uint4*>(from) + k);
      }
      memcpy(&row, words, sizeof(row));
    } else if constexpr (sizeof(Row) == 8) {
      const uint2 words = __ldcs(reinterpret_cast<const uint2*>(from));
      memcpy(&row, &words, sizeof(row));
    } else {
      static_assert(sizeof(Row) == 4);
      const uint32_t word = __ldcs(reinterpret_cast<const uint32_t*>(from));
      memcpy(&row, &word, sizeof(row));
    }
    return row;
  }
  template <class Row>
  static __device__ __forceinline__ void Store(const Row& row, Row* to) {
    static_assert(sizeof(Row) % 16 == 0);
    uint4 words[sizeof(Row) / 16];
    memcpy(words, &row, sizeof(row));
    LOSSD_UNROLL for (size_t k = 0; k < sizeof(Row) / 16; ++k) {
      __stcs(reinterpret_cast<uint4*>(to) + k, words[k]);
    }
  }

  // The machine's own conversions are exact or round to nearest, subnormals
  // included. They differ from StoreRounded() for NaNs alone.
  static __device__ __forceinline__ void Narrow(float a, float b,
                                                BFloat16* to) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(a, b);
    memcpy(to, &pair, sizeof(pair));
  }
  static __device__ __forceinline__ void Narrow(float a, float b, Float16* to) {
    const __half2 pair = __floats2half2_rn(a, b);
    memcpy(to, &pair, sizeof(pair));
  }
  template <class T>
  static __device__ __forceinline__ void Narrow(T a, T b, T* to) {
    to[0] = a;
    to[1] = b;
  }

  static __device__ __forceinline__ float Widen(BFloat16 value) {
    return FloatOf(value);
  }
  static __device__ __forceinline__ float Widen(Float16 value) {
    __half half;
    memcpy(&half, &value, sizeof(half));
    return __half2float(half);
  }
  template <class T>
  static __device__ __forceinline__ T Widen(T value) {
    return value;
  }

  static __device__ __forceinline__ uint32_t MaxHalves(uint32_t a, uint32_t b) {
    return __vmaxu2(a, b);
  }
  static __device__ __forceinline__ uint32_t MinHalves(uint32_t a, uint32_t b) {
    return __vminu2(a, b);
  }
};
