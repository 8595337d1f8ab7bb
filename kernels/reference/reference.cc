#include "kernels/reference/reference.h"

#include <algorithm>
#include <cmath>

namespace lossd::kernels::reference {
namespace {

// log(1 + e^x), without overflow.
long double Softplus(long double x) {
  return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
}

// 1 / (1 + e^-x), without overflow.
long double Sigmoid(long double x) {
  const long double z = std::exp(-std::fabs(x));
  return x >= 0 ? 1 / (1 + z) : z / (1 + z);
}

// A term that its factor switches off, even where the other one is infinite.
long double Times(long double factor, long double value) {
  return factor == 0 ? 0 : factor * value;
}

// The element of `operand` that broadcasting gives to `index`; `absent` without
// one.
double Broadcast(const Segment& segment, const Operand& operand, uint64_t index,
                 double absent) {
  if (!operand.present()) return absent;
  uint64_t position = 0;
  for (int k = segment.shape.rank - 1; k >= 0; --k) {
    const uint64_t dim = segment.shape.dims[k];
    position += index % dim * operand.strides[k];
    index /= dim;
  }
  return ElementAt(operand.tensor, position);
}

struct Inputs {
  bool valid;
  // t after smoothing and 1 - t, each smoothed by itself: long double, too, has
  // few digits of a small 1 - t left once t is rounded.
  long double x, t, complement, w, q, upstream;
};

Inputs InputsOf(const Segment& segment, uint64_t i) {
  Inputs in;
  const double t = TargetAt(segment, i);
  in.valid = !IsIgnored(segment, i);
  in.x = ElementAt(segment.logits, i);
  const long double smoothing = segment.options.label_smoothing;
  in.t = t * (1 - smoothing) + smoothing / 2;
  in.complement =
      (1 - static_cast<long double>(t)) * (1 - smoothing) + smoothing / 2;
  in.w = Broadcast(segment, segment.weights, i, 1);
  in.q = Broadcast(segment, segment.pos_weight, i, 1);
  in.upstream = Broadcast(segment, segment.upstream, i, 1) *
                static_cast<long double>(segment.upstream_scalar);
  return in;
}

long double Normalize(const Segment& segment, const Answer& answer,
                      long double weight_sum, uint64_t nonzero_weights) {
  const LossOptions& options = segment.options;
  if (options.reduction != Reduction::kMean) return 1;
  switch (options.normalizer) {
    case Normalizer::kElements:
      return std::max<uint64_t>(1, segment.element_count);
    case Normalizer::kValid:
      return std::max<uint64_t>(1, answer.valid_count);
    case Normalizer::kBatch:
      return segment.shape.rank == 0
                 ? 1
                 : std::max<uint64_t>(1, segment.shape.dims[0]);
    case Normalizer::kNonzeroWeights:
      return std::max<uint64_t>(1, nonzero_weights);
    case Normalizer::kWeightSum:
      return weight_sum;
    case Normalizer::kCaller:
      return options.normalizer_value;
  }
  return 1;
}

Element ElementOf(long double x, long double t, long double complement,
                  long double q, long double w) {
  // Also where both factors are 0: a NaN logit has no loss.
  if (std::isnan(x)) return {Times(w, x), Times(w, x)};
  const long double loss =
      Times(t * q, Softplus(-x)) + Times(complement, Softplus(x));
  const long double derivative = complement * Sigmoid(x) - q * t * Sigmoid(-x);
  return {Times(w, loss), Times(w, derivative)};
}

}  // namespace

Element SigmoidCrossEntropy(long double x, long double t, long double q,
                            long double w) {
  return ElementOf(x, t, 1 - t, q, w);
}

Answer Compute(const Segment& segment) {
  Answer answer;
  long double sum = 0, weight_sum = 0;
  uint64_t nonzero_weights = 0;
  std::vector<long double> derivatives;
  for (uint64_t i = 0; i < segment.element_count; ++i) {
    const Inputs in = InputsOf(segment, i);
    const Element element =
        in.valid ? ElementOf(in.x, in.t, in.complement, in.q, in.w)
                 : Element{0, 0};
    sum += element.loss;
    if (in.valid) {
      ++answer.valid_count;
      weight_sum += in.w;
      if (in.w != 0) ++nonzero_weights;
      if (std::isnan(in.x)) ++answer.nan_count;
    }
    answer.losses.push_back(element.loss * segment.options.loss_weight);
    derivatives.push_back(in.upstream * element.derivative);
  }
  answer.normalizer = Normalize(segment, answer, weight_sum, nonzero_weights);
  const long double scale =
      answer.normalizer == 0 ? 0
                             : segment.options.loss_weight / answer.normalizer;
  if (segment.options.reduction != Reduction::kNone && answer.valid_count > 0) {
    answer.loss = Times(scale, sum);
  }
  for (const long double d : derivatives) answer.gradient.push_back(scale * d);
  return answer;
}

}  // namespace lossd::kernels::reference
