// The forms in which frameworks compute the sigmoid cross-entropy, in float32
// with the C library's functions. They are judged like our kernel.
#ifndef LOSSD_TESTS_JUDGE_FORMS_H_
#define LOSSD_TESTS_JUDGE_FORMS_H_

#include <cmath>

namespace lossd::judge {

struct FormResult {
  float loss;
  float gradient;
  float second;  // 0 where the framework has none
};

// PyTorch's binary_cross_entropy_with_logits (2.15), and its derivative:
//   (1 - t) x - log_sigmoid(x), log_sigmoid(x) = min(0, x) - log1p(e^-|x|)
//   sigmoid(x) - t, sigmoid(x) = 1 / (1 + e^-x)
//   sigmoid(x) (1 - sigmoid(x))
struct PyTorchForm {
  static constexpr bool kHasSecond = true;
  static FormResult At(float x, float t) {
    const float log_sigmoid =
        std::fmin(0.0f, x) - std::log1p(std::exp(-std::fabs(x)));
    const float sigmoid = 1.0f / (1.0f + std::exp(-x));
    return {(1.0f - t) * x - log_sigmoid, sigmoid - t,
            sigmoid * (1.0f - sigmoid)};
  }
};

// Caffe 1.0's SigmoidCrossEntropyLossLayer:
//   -(x (t - (x >= 0)) - log(1 + e^(x - 2 x (x >= 0))))
//   sigmoid(x) - t, sigmoid(x) = 0.5 tanh(0.5 x) + 0.5
// Its constants are of type double, so its sigmoid is rounded once.
struct CaffeForm {
  static constexpr bool kHasSecond = false;
  static FormResult At(float x, float t) {
    const float is_positive = x >= 0 ? 1.0f : 0.0f;
    const float loss =
        x * (t - is_positive) - std::log(1 + std::exp(x - 2 * x * is_positive));
    const auto sigmoid = static_cast<float>(0.5 * std::tanh(0.5 * x) + 0.5);
    return {-loss, sigmoid - t, 0};
  }
};

}  // namespace lossd::judge

#endif  // LOSSD_TESTS_JUDGE_FORMS_H_
