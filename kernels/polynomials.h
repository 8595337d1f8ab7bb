// The polynomials of the element function, printed by fit/fit_polynomials.py.
//
// exp(r) = 1 + r + r^2 kExp(r) on |r| <= ln(2)/2; log1p(z) = z + z^2 kLog1p(z) and
// 1/(1+z) <= kReciprocal(z) on [0, 1]. Highest power first. The bounds beside them are
// of the rounded coefficients, evaluated exactly.
#ifndef LOSSD_KERNELS_POLYNOMIALS_H_
#define LOSSD_KERNELS_POLYNOMIALS_H_

namespace lossd::kernels {

template <class T>
struct Polynomials;

template <>
struct Polynomials<float> {
  // Relative error 2^-29.336.
  static constexpr float kExp[] = {
      0x1.99d9840000000p-13f,
      0x1.6cba580000000p-10f,
      0x1.1114380000000p-7f,
      0x1.55553e0000000p-5f,
      0x1.5555540000000p-3f,
      0x1.0000000000000p-1f,
  };
  // Relative error 2^-30.095.
  static constexpr float kLog1p[] = {
      0x1.113e2c0000000p-9f,
      -0x1.c0aa7e0000000p-7f,
      0x1.5902e40000000p-5f,
      -0x1.54f3000000000p-4f,
      0x1.ff29940000000p-4f,
      -0x1.4a72c80000000p-3f,
      0x1.978b560000000p-3f,
      -0x1.ffc59e0000000p-3f,
      0x1.5553b60000000p-2f,
      -0x1.fffff80000000p-2f,
  };
  // Relative error 2^-15.616.
  static constexpr float kReciprocal[] = {
      0x1.256ebe0000000p-4f,
      -0x1.4a388c0000000p-2f,
      0x1.55c7b40000000p-1f,
      -0x1.ce4c180000000p-1f,
      0x1.f8824a0000000p-1f,
      -0x1.ff8dc20000000p-1f,
      0x1.0000240000000p+0f,
  };
};

template <>
struct Polynomials<double> {
  // Relative error 2^-60.545.
  static constexpr double kExp[] = {
      0x1.604af38f9bedep-33,
      0x1.1f8b05f964acap-29,
      0x1.ae653f0e5addep-26,
      0x1.27e4cc99d83f0p-22,
      0x1.71de3a0eb2f2fp-19,
      0x1.a01a01ad4118fp-16,
      0x1.a01a01a02cc24p-13,
      0x1.6c16c16c150b5p-10,
      0x1.11111111110eep-7,
      0x1.5555555555558p-5,
      0x1.5555555555555p-3,
      0x1.0000000000000p-1,
  };
  // Relative error 2^-55.588.
  static constexpr double kLog1p[] = {
      -0x1.24a42424c531ap-16,
      0x1.b538f219334b7p-13,
      -0x1.368b949f8a7ccp-10,
      0x1.185e5e5da329ap-8,
      -0x1.6bc5e0c31d3d3p-7,
      0x1.6ccaa2845f364p-6,
      -0x1.2a5394bb933e0p-5,
      0x1.a0d8b21dfad51p-5,
      -0x1.03f32fda3e5b6p-4,
      0x1.2d879ab2f0d5dp-4,
      -0x1.50c2ad1413b6fp-4,
      0x1.73201e3e5629ep-4,
      -0x1.9955d333584fep-4,
      0x1.c711397109611p-4,
      -0x1.fffe994aab59dp-4,
      0x1.249238d67a8edp-3,
      -0x1.5555544ee5db9p-3,
      0x1.9999998f0eef2p-3,
      -0x1.ffffffffc3bc3p-3,
      0x1.55555555550fcp-2,
      -0x1.0000000000000p-1,
  };
  // Relative error 2^-15.635.
  static constexpr double kReciprocal[] = {
      0x1.2580d3d8707c7p-4,
      -0x1.4a40fb5f14622p-2,
      0x1.55ca130320d76p-1,
      -0x1.ce4c86701ed41p-1,
      0x1.f88256fd75852p-1,
      -0x1.ff8dc1d11c974p-1,
      0x1.0000211af0c57p+0,
  };
};

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_POLYNOMIALS_H_
