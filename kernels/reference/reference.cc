#include "kernels/reference/reference.h"

#include <algorithm>
#include <cmath>

namespace lossd::kernels::reference {
namespace {

// Returns log(1 + e^x) without overflow.
long double Softplus(long double x) {
  return (x > 0 ? x : 0) + std::log1p(std::exp(-std::fabs(x)));
}

// Returns 1 / (1 + e^-x) without overflow.
long double Sigmoid(long double x) {
  const long double z = std::exp(-std::fabs(x));
  return x >= 0 ? 1 / (1 + z) : z / (1 + z);
}

// Returns the product, which is 0 if the factor is 0, even for an infinite
// value.
long double Times(long double factor, long double value) {
  return factor == 0 ? 0 : factor * value;
}

// Returns the asymmetric loss's term of 1 - t, for a weight of 1.
Element NegativeOfAsymmetric(long double x, long double gamma,
                             long double margin) {
  const long double p = Sigmoid(x), rest = Sigmoid(-x);
  if (margin == 0) {
    const long double power = std::pow(p, gamma);
    return {Times(power, Softplus(x)),
            power * (p + gamma * Times(rest, Softplus(x)))};
  }
  const long double d = p - margin;
  if (d <= 0) return {0, 0};
  const long double loss =
      d < 0.5L ? -std::log1p(-d) : -std::log(rest + margin);
  const long double power = std::pow(d, gamma);
  return {power * loss,
          power * p * rest * (gamma * loss / d + 1 / (rest + margin))};
}

// Returns the element of `operand` that broadcasting gives to `index`, or
// `absent` if there is no operand.
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
  ElementInputs element;
  long double w, upstream;
};

Inputs InputsOf(const Segment& segment, uint64_t i) {
  Inputs in;
  const double t = TargetAt(segment, i);
  in.valid = !IsIgnored(segment, i);
  in.element.x = ElementAt(segment.logits, i);
  const long double smoothing = segment.options.label_smoothing;
  in.element.t = t * (1 - smoothing) + smoothing / 2;
  in.element.complement =
      (1 - static_cast<long double>(t)) * (1 - smoothing) + smoothing / 2;
  in.w = Broadcast(segment, segment.weights, i, 1);
  in.element.q = Broadcast(segment, segment.pos_weight, i, 1);
  in.upstream = Broadcast(segment, segment.upstream, i, 1) *
                static_cast<long double>(segment.upstream_scalar);
  return in;
}

// Returns the fault of an element that takes part, as Totals have it.
uint64_t FaultOf(const Segment& segment, uint64_t i) {
  const LossOptions& options = segment.options;
  const bool narrow = segment.logits.type != ElementType::kFloat64;
  const auto bad = [&](double value) {
    const double computed = narrow ? static_cast<float>(value) : value;
    return options.reject_nan_logits && !std::isfinite(computed);
  };
  const double w = Broadcast(segment, segment.weights, i, 1);
  if (bad(w)) return FaultMark(i, OperandFault::kWeightNotFinite);
  if (options.reject_negative_weights && w < 0) {
    return FaultMark(i, OperandFault::kWeightNegative);
  }
  if (w == 0) return kNoIndex;
  if (bad(Broadcast(segment, segment.pos_weight, i, 1))) {
    return FaultMark(i, OperandFault::kPosWeightNotFinite);
  }
  if (bad(Broadcast(segment, segment.upstream, i, 1))) {
    return FaultMark(i, OperandFault::kUpstreamNotFinite);
  }
  return kNoIndex;
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

}  // namespace

Element SigmoidCrossEntropy(const ElementInputs& in) {
  const long double positive = in.t * in.q;
  return {
      Times(positive, Softplus(-in.x)) + Times(in.complement, Softplus(in.x)),
      in.complement * Sigmoid(in.x) - positive * Sigmoid(-in.x)};
}

// The base of the power is 1 - p_t = t s(-x) + (1 - t) s(x). long double holds
// it for |x| up to 11355. Beyond that the loss is 0, too.
Element SigmoidFocal(const ElementInputs& in, const LossParameters& loss) {
  const Element entropy = SigmoidCrossEntropy(in);
  const long double p = Sigmoid(in.x), rest = Sigmoid(-in.x);
  const long double base = in.t * rest + in.complement * p;
  const long double alpha =
      loss.alpha_positive * in.t + loss.alpha_negative * in.complement;
  const long double factor = alpha * std::pow(base, loss.gamma_positive);
  // The derivative of log(1 - p_t) is (1 - 2 t) s(x) s(-x) / (1 - p_t), where a
  // hard target's base is one of the two.
  const long double share = in.t == 0            ? rest
                            : in.complement == 0 ? p
                                                 : p * rest / base;
  const long double of_power =
      Times(share, loss.gamma_positive * entropy.loss * (in.complement - in.t));
  return {Times(factor, entropy.loss),
          Times(factor, entropy.derivative + of_power)};
}

Element Asymmetric(const ElementInputs& in, const LossParameters& loss) {
  const long double gamma = loss.gamma_positive;
  // (1 - p)^gamma (-log p)
  const long double power = std::pow(Sigmoid(-in.x), gamma);
  const long double positive = in.t * in.q;
  const long double of_power = gamma * Times(Sigmoid(in.x), Softplus(-in.x));
  const Element negative =
      NegativeOfAsymmetric(in.x, loss.gamma_negative, loss.margin);
  return {Times(positive * power, Softplus(-in.x)) +
              Times(in.complement, negative.loss),
          Times(in.complement, negative.derivative) -
              positive * power * (Sigmoid(-in.x) + of_power)};
}

Element ElementOf(const LossOptions& options, const ElementInputs& in,
                  long double w) {
  // A NaN logit has a NaN loss even where both targets' factors are 0.
  if (std::isnan(in.x)) return {Times(w, in.x), Times(w, in.x)};
  const LossParameters parameters = ParametersOf(options);
  Element element;
  switch (options.kind) {
    case LossKind::kSigmoidCrossEntropy:
      element = SigmoidCrossEntropy(in);
      break;
    case LossKind::kSigmoidFocal:
      element = SigmoidFocal(in, parameters);
      break;
    case LossKind::kAsymmetric:
      element = Asymmetric(in, parameters);
      break;
  }
  return {Times(w, element.loss), Times(w, element.derivative)};
}

Element SigmoidCrossEntropy(long double x, long double t, long double q,
                            long double w) {
  return ElementOf(LossOptions(), {x, t, 1 - t, q}, w);
}

Answer Compute(const Segment& segment) {
  Answer answer;
  long double sum = 0, weight_sum = 0;
  uint64_t nonzero_weights = 0;
  std::vector<long double> derivatives;
  for (uint64_t i = 0; i < segment.element_count; ++i) {
    const Inputs in = InputsOf(segment, i);
    const Element element =
        in.valid ? ElementOf(segment.options, in.element, in.w) : Element{0, 0};
    sum += element.loss;
    if (in.valid) {
      ++answer.valid_count;
      weight_sum += in.w;
      if (in.w != 0) ++nonzero_weights;
      answer.first_operand_fault =
          std::min(answer.first_operand_fault, FaultOf(segment, i));
      if (std::isnan(in.element.x)) ++answer.nan_count;
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
