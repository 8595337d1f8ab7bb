// The polynomials of the element functions, printed by fit_polynomials.py.
//
//   exp(-s) = 1 - s + s^2 ExpOfMinus(s)                       |s| <= ln(2) / 2
//   log1p(z) = z + z^2 Log1p(z)                               0 <= z <= 1/e
//   1 / (1 + z) = Reciprocal(z)                               0 <= z <= 1/e
//   log1p(e^-y) = ln(2) - y/2 + y^2 CenterLoss(y^2)           0 <= y <= 1
//   1 / (1 + e^y) = 1/2 - y/4 + y^3 CenterSlope(y^2)          0 <= y <= 1
//
// logarithm-inl.h, whose results have two parts, uses the fine ones:
//
//   exp(-s) = 1 - s + s^2 FineExpOfMinus(s)                   |s| <= ln(2) / 2
//   log1p(z) = z + z^2 FineLog1p(z)                           0 <= z <= 1/e
//   log(cosh(y/2)) = y^2 FineCenter(y^2)                      0 <= y <= 1
//   log1p(f) = f + f^2 FineLog(f)         sqrt(1/2) - 1 <= f <= sqrt(2) - 1
//
// The term of the highest power comes first. Each bound is the error of the
// rounded coefficients under exact evaluation.
#ifndef LOSSD_KERNELS_ELEMENT_POLYNOMIALS_H_
#define LOSSD_KERNELS_ELEMENT_POLYNOMIALS_H_

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
  // Relative error 2^-13.71.
  struct Reciprocal {
    static constexpr float kTerms[] = {
        -0x1.0abd160000000p-1f,
        0x1.cf51800000000p-1f,
        -0x1.fc9d980000000p-1f,
        0x1.fff6020000000p-1f,
    };
  };
  // Relative error 2^-31.63.
  struct CenterLoss {
    static constexpr float kTerms[] = {
        0x1.c99a760000000p-20f, -0x1.b347a40000000p-16f, 0x1.6bea580000000p-12f,
        -0x1.5554f00000000p-8f, 0x1.0000000000000p-3f,
    };
  };
  // Relative error 2^-27.208.
  struct CenterSlope {
    static constexpr float kTerms[] = {
        -0x1.152f4a0000000p-16f,
        0x1.b12de60000000p-13f,
        -0x1.10dbdc0000000p-9f,
        0x1.55547e0000000p-6f,
    };
  };
  // Relative error 2^-29.336.
  struct FineExpOfMinus {
    static constexpr float kTerms[] = {
        -0x1.99d9840000000p-13f, 0x1.6cba580000000p-10f, -0x1.1114380000000p-7f,
        0x1.55553e0000000p-5f,   -0x1.5555540000000p-3f, 0x1.0000000000000p-1f,
    };
  };
  // Relative error 2^-30.768.
  struct FineLog1p {
    static constexpr float kTerms[] = {
        -0x1.5682d20000000p-5f, 0x1.b4ec020000000p-4f,  -0x1.42ebe00000000p-3f,
        0x1.97101a0000000p-3f,  -0x1.ffd2f20000000p-3f, 0x1.5554be0000000p-2f,
        -0x1.0000000000000p-1f,
    };
  };
  // Relative error 2^-32.35.
  struct FineCenter {
    static constexpr float kTerms[] = {
        0x1.cbd4be0000000p-20f, -0x1.b395f40000000p-16f, 0x1.6bedc40000000p-12f,
        -0x1.5554fc0000000p-8f, 0x1.0000000000000p-3f,
    };
  };
  // Relative error 2^-27.967.
  struct FineLog {
    static constexpr float kTerms[] = {
        0x1.1164780000000p-4f,  -0x1.d84e800000000p-4f, 0x1.e46a9e0000000p-4f,
        -0x1.fc86ec0000000p-4f, 0x1.2366820000000p-3f,  -0x1.555f0e0000000p-3f,
        0x1.99a31a0000000p-3f,  -0x1.ffffe20000000p-3f, 0x1.5555480000000p-2f,
        -0x1.0000000000000p-1f,
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
  // Relative error 2^-21.064.
  struct Reciprocal {
    static constexpr double kTerms[] = {
        -0x1.810d6e894a8ecp-2, 0x1.955beaf2baa69p-1,  -0x1.ed9d8fffcc186p-1,
        0x1.fe7e26937a7ebp-1,  -0x1.fff40f918f47cp-1, 0x1.ffffeff61c1a1p-1,
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
  // Relative error 2^-57.133.
  struct CenterSlope {
    static constexpr double kTerms[] = {
        -0x1.d0ca66074f8f8p-37, 0x1.c50975a8ab1f4p-33,  -0x1.314b02be1f1edp-29,
        0x1.7d34615d03e90p-26,  -0x1.d6cc058934351p-23, 0x1.226e078cad5a7p-19,
        -0x1.664f472c8ba14p-16, 0x1.ba1ba1b42a34cp-13,  -0x1.111111110a2c6p-9,
        0x1.55555555554f5p-6,
    };
  };
  // Relative error 2^-60.795.
  struct FineExpOfMinus {
    static constexpr double kTerms[] = {
        0x1.92ea6dff1cd25p-37,  -0x1.61dde8cf07b69p-33, 0x1.1eedfcf1abaa3p-29,
        -0x1.ae64177fcf8cep-26, 0x1.27e4fb521c520p-22,  -0x1.71de3a601080fp-19,
        0x1.a01a01a02552cp-16,  -0x1.a01a01a01828bp-13, 0x1.6c16c16c16bfep-10,
        -0x1.1111111111113p-7,  0x1.5555555555555p-5,   -0x1.5555555555555p-3,
        0x1.0000000000000p-1,
    };
  };
  // Relative error 2^-59.929.
  struct FineLog1p {
    static constexpr double kTerms[] = {
        -0x1.d243b92295208p-9, 0x1.fa0bd30f9e0a0p-7,  -0x1.162d49e27dfebp-5,
        0x1.abc32359cb5b0p-5,  -0x1.0d9bf9520c6dap-4, 0x1.343ca778bd111p-4,
        -0x1.53c4643ce124ep-4, 0x1.7416ada502b0fp-4,  -0x1.99902e531f99fp-4,
        0x1.c71b7f356954ap-4,  -0x1.ffffee0521de4p-4, 0x1.249248aab8aafp-3,
        -0x1.55555550f04b0p-3, 0x1.999999997ffb9p-3,  -0x1.ffffffffffadcp-3,
        0x1.5555555555552p-2,  -0x1.0000000000000p-1,
    };
  };
  // Relative error 2^-60.534.
  struct FineCenter {
    static constexpr double kTerms[] = {
        0x1.5e296413ac312p-41,  -0x1.6e98edcda7465p-37, 0x1.0ffd28d6edcadp-33,
        -0x1.7d4ec5e9dddbbp-30, 0x1.0d083b83cb848p-26,  -0x1.833d76646573cp-23,
        0x1.1ea5d3050ba03p-19,  -0x1.ba1ba1b74a80ap-16, 0x1.6c16c16c13289p-12,
        -0x1.5555555555538p-8,  0x1.0000000000000p-3,
    };
  };
  // Relative error 2^-57.916.
  struct FineLog {
    static constexpr double kTerms[] = {
        0x1.7083fb89ffb39p-6,  -0x1.bb537eca6cc7ep-5, 0x1.eff4eab88d36ep-5,
        -0x1.a914504fa80f7p-5, 0x1.9bd8ba348742ep-5,  -0x1.c0df2b39be55bp-5,
        0x1.e38a0a577596ep-5,  -0x1.006cf1c143c8ep-4, 0x1.1108f57cbb3bap-4,
        -0x1.248a338a52411p-4, 0x1.3b13aa9733431p-4,  -0x1.5555b179dd68ep-4,
        0x1.745d1afe7d63fp-4,  -0x1.9999971b953dfp-4, 0x1.c71c71a305874p-4,
        -0x1.0000000506c95p-3, 0x1.24924924de163p-3,  -0x1.555555554ad23p-3,
        0x1.999999999910ep-3,  -0x1.0000000000043p-2, 0x1.5555555555558p-2,
        -0x1.0000000000000p-1,
    };
  };
};

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_ELEMENT_POLYNOMIALS_H_
