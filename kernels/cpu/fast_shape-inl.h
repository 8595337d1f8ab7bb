// The shape of the fast loop on an instruction set, chosen by measurement
// (D86). This file is a body without an include guard, included inside
// HWY_NAMESPACE once for each instruction set.

struct FastLoopShape {
#if HWY_TARGET == HWY_AVX2
  // 16 registers do not hold two vectors and a polynomial's constants. A loop
  // of single vectors has independent operations too, if it computes the first
  // part of an element some steps before the rest.
  static constexpr bool kPairs = false;
  static constexpr int kStepsAhead = 4;
#else
  // 32 registers hold two vectors, and nothing has to be kept in memory.
  static constexpr bool kPairs = true;
  static constexpr int kStepsAhead = 0;
#endif
};
