// The polynomials of the element function, printed by fit/fit_polynomials.py.
//
// exp(-s) = 1 - s + s^2 ExpOfMinus(s) on |s| <= ln(2)/2; log1p(z) = z + z^2
// Log1p(z) on [0, 1/e]; 1/(1+z) <= Reciprocal(z) on [0, e^-1/2]; log1p(e^-y) =
// ln(2) - y/2 + y^2 CenterLoss(y^2) on [0, 1]; 1/(1+e^y) = 1/2 - y
// CenterSlope(y^2) on [0, 1/2]. Highest power first. The bounds beside them
// are of the rounded coefficients, evaluated exactly.
#ifndef LOSSD_KERNELS_POLYNOMIALS_H_
#define LOSSD_KERNELS_POLYNOMIALS_H_

namespace lossd::kernels {

template <class T>
struct Polynomials;

template <>
struct Polynomials<float> {
  // Relative error 2^-29.336.
  struct ExpOfMinus {
    static constexpr float kTerms[] = {
        -0x1.99d9840000000p-13f, 0x1.6cba580000000p-10f, -0x1.1114380000000p-7f,
        0x1.55553e0000000p-5f,   -0x1.5555540000000p-3f, 0x1.0000000000000p-1f,
    };
  };
  // Relative error 2^-30.768.
  struct Log1p {
    static constexpr float kTerms[] = {
        -0x1.5682d20000000p-5f, 0x1.b4ec020000000p-4f,  -0x1.42ebe00000000p-3f,
        0x1.97101a0000000p-3f,  -0x1.ffd2f20000000p-3f, 0x1.5554be0000000p-2f,
        -0x1.0000000000000p-1f,
    };
  };
  // Relative error 2^-13.25.
  struct Reciprocal {
    static constexpr float kTerms[] = {
        0x1.23a8080000000p-2f,  -0x1.6f0f980000000p-1f, 0x1.e48e7c0000000p-1f,
        -0x1.fe09fe0000000p-1f, 0x1.0000b00000000p+0f,
    };
  };
  // Relative error 2^-31.63.
  struct CenterLoss {
    static constexpr float kTerms[] = {
        0x1.c99a760000000p-20f, -0x1.b347a40000000p-16f, 0x1.6bea580000000p-12f,
        -0x1.5554f00000000p-8f, 0x1.0000000000000p-3f,
    };
  };
  // Relative error 2^-30.743.
  struct CenterSlope {
    static constexpr float kTerms[] = {
        -0x1.a3b2ee0000000p-13f,
        0x1.10d7be0000000p-9f,
        -0x1.5554fc0000000p-6f,
        0x1.0000000000000p-2f,
    };
  };
};

template <>
struct Polynomials<double> {
  // Relative error 2^-60.545.
  struct ExpOfMinus {
    static constexpr double kTerms[] = {
        -0x1.604af38f9bedep-33, 0x1.1f8b05f964acap-29,  -0x1.ae653f0e5addep-26,
        0x1.27e4cc99d83f0p-22,  -0x1.71de3a0eb2f2fp-19, 0x1.a01a01ad4118fp-16,
        -0x1.a01a01a02cc24p-13, 0x1.6c16c16c150b5p-10,  -0x1.11111111110eep-7,
        0x1.5555555555558p-5,   -0x1.5555555555555p-3,  0x1.0000000000000p-1,
    };
  };
  // Relative error 2^-57.73.
  struct Log1p {
    static constexpr double kTerms[] = {
        -0x1.6c2f6d28f08cap-8, 0x1.6a2939aa351f1p-6,  -0x1.708fa04362e79p-5,
        0x1.0b3781193718fp-4,  -0x1.4595eabd15849p-4, 0x1.708010f6d072dp-4,
        -0x1.98e516ee06ff5p-4, 0x1.c70423e94f1d2p-4,  -0x1.fffda03c62552p-4,
        0x1.2492343353b22p-3,  -0x1.5555545c14d32p-3, 0x1.9999999256a2fp-3,
        -0x1.ffffffffe2538p-3, 0x1.55555555553d2p-2,  -0x1.0000000000000p-1,
    };
  };
  // Relative error 2^-13.251.
  struct Reciprocal {
    static constexpr double kTerms[] = {
        0x1.23a73557affa7p-2,  -0x1.6f0ef4f3e9dffp-1, 0x1.e48e2a462ec1ep-1,
        -0x1.fe09eed44a633p-1, 0x1.0000afc89571bp+0,
    };
  };
  // Relative error 2^-59.266.
  struct CenterLoss {
    static constexpr double kTerms[] = {
        0x1.5bc6708ecfe90p-41,  -0x1.6dca36017ba15p-37, 0x1.0fdf17c6bb145p-33,
        -0x1.7d49dcc1c30adp-30, 0x1.0d07fc5f2a72dp-26,  -0x1.833d72609f477p-23,
        0x1.1ea5d2f091ebfp-19,  -0x1.ba1ba1b6cdf97p-16, 0x1.6c16c16c125f8p-12,
        -0x1.5555555555530p-8,  0x1.0000000000000p-3,
    };
  };
  // Relative error 2^-60.04.
  struct CenterSlope {
    static constexpr double kTerms[] = {
        -0x1.57b94d881898dp-26, 0x1.d4d8c316a07e9p-23,  -0x1.22672d09bbd1dp-19,
        0x1.664f2c69d31a7p-16,  -0x1.ba1ba17c35a6fp-13, 0x1.11111110ef36bp-9,
        -0x1.555555555547cp-6,  0x1.0000000000000p-2,
    };
  };
};

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_POLYNOMIALS_H_
