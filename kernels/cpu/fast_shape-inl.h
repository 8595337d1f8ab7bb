// The shape of the fast loop on an instruction set, chosen by measurement
// (D86). This file is a body without an include guard, included inside
// HWY_NAMESPACE once for each instruction set.

struct FastLoopShape {
#if HWY_TARGET == HWY_AVX2
  // 16 registers do not hold two vectors and a polynomial's constants. Loads of
  // constants and long chains of operations then bound the loop.
  static constexpr int kPairsAhead = 2;
  static constexpr bool kSharesConstants = true;
#else
  // AVX-512 and NEON have 32 registers, and AVX-512's two ports are nearly
  // always busy.
  static constexpr int kPairsAhead = 0;
  static constexpr bool kSharesConstants = false;
#endif
};
