#include "kernels/reference/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/reference/jet.h"

namespace lossd::kernels::reference {
namespace {

// Beyond this logit every loss is a straight line to all digits.
constexpr long double kFar = 11000;

// Returns the product, which is 0 if the factor is 0, even for an infinite
// value.
long double Times(long double factor, long double value) {
  return factor == 0 ? 0 : factor * value;
}

// Returns t q sp(-x) + (1 - t) sp(x).
Jet CrossEntropy(const ElementInputs& in) {
  return in.t * in.q * SoftplusOfMinus(in.x) + in.complement * SoftplusOf(in.x);
}

// Returns the power of a focusing factor, whose derivatives may be left out.
Jet Focus(const Jet& base, long double gamma, long double slope_gamma) {
  const Jet power = Pow(base, gamma);
  return slope_gamma == gamma ? power : Jet{power.value, 0, 0};
}

// Returns alpha_t (1 - p_t)^gamma CE + epsilon (1 - p_t)^(gamma + 1), with
// 1 - p_t = t s(-x) + (1 - t) s(x).
Jet LinearFocal(const ElementInputs& in, const LossParameters& loss) {
  const Jet base =
      in.t * SigmoidOfMinus(in.x) + in.complement * SigmoidOf(in.x);
  const long double alpha =
      loss.alpha_positive * in.t + loss.alpha_negative * in.complement;
  return alpha * (Focus(base, loss.gamma_positive, loss.slope_positive) *
                  CrossEntropy(in)) +
         loss.epsilon * Pow(base, loss.gamma_positive + 1);
}

// Returns t times that loss of a positive and 1 - t times that of a negative.
Jet MixedFocal(const ElementInputs& in, const LossParameters& loss) {
  ElementInputs positive = in, negative = in;
  positive.t = 1;
  positive.complement = 0;
  negative.t = 0;
  negative.complement = 1;
  return in.t * LinearFocal(positive, loss) +
         in.complement * LinearFocal(negative, loss);
}

// Returns p_m^gamma (-log(1 - p_m)), p_m = max(s(x) - margin, 0).
Jet NegativeOfAsymmetric(long double x, const LossParameters& loss) {
  const Jet p = SigmoidOf(x), rest = SigmoidOfMinus(x);
  const long double gamma = loss.gamma_negative;
  if (loss.margin == 0) {
    return Focus(p, gamma, loss.slope_negative) * SoftplusOf(x);
  }
  const Jet d = {p.value - loss.margin, p.first, p.second};
  if (d.value <= 0) return {};
  const Jet v = {rest.value + loss.margin, rest.first, rest.second};
  const long double log =
      d.value < 0.5L ? std::log1p(-d.value) : std::log(v.value);
  return Focus(d, gamma, loss.slope_negative) * -Log(v, log);
}

Jet Asymmetric(const ElementInputs& in, const LossParameters& loss) {
  return in.t * in.q *
             (Focus(SigmoidOfMinus(in.x), loss.gamma_positive,
                    loss.slope_positive) *
              SoftplusOfMinus(in.x)) +
         in.complement * NegativeOfAsymmetric(in.x, loss);
}

// Returns |t - p|^gamma CE.
Jet QualityFocal(const ElementInputs& in, const LossParameters& loss) {
  const Jet miss =
      in.t * SigmoidOfMinus(in.x) + -in.complement * SigmoidOf(in.x);
  return Pow(miss.value < 0 ? -miss : miss, loss.gamma_positive) *
         CrossEntropy(in);
}

Jet Varifocal(const ElementInputs& in, const LossParameters& loss) {
  if (in.t != 0) return in.t * CrossEntropy(in);
  return loss.alpha_negative *
         (Pow(SigmoidOf(in.x), loss.gamma_negative) * SoftplusOf(in.x));
}

// Returns the loss at a logit of at most kFar.
Jet LossOf(LossKind kind, const ElementInputs& in, const LossParameters& loss) {
  switch (kind) {
    case LossKind::kSigmoidCrossEntropy:
      return CrossEntropy(in);
    case LossKind::kSigmoidFocal:
    case LossKind::kPoly:
      return loss.mixes_soft_targets ? MixedFocal(in, loss)
                                     : LinearFocal(in, loss);
    case LossKind::kAsymmetric:
      return Asymmetric(in, loss);
    case LossKind::kQualityFocal:
      return QualityFocal(in, loss);
    case LossKind::kVarifocal:
      return Varifocal(in, loss);
  }
  return {};
}

// Continues a loss from `at` to `x` as a straight line.
Jet Continued(const Jet& loss, long double at, long double x) {
  const long double slope = std::fabs(loss.first) < 1e-1000L ? 0 : loss.first;
  return {loss.value + Times(slope, x - at), slope, 0};
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
  const long double prior = segment.options.label_smoothing_prior;
  in.element.t = t * (1 - smoothing) + smoothing * prior;
  in.element.complement = (1 - static_cast<long double>(t)) * (1 - smoothing) +
                          smoothing * (1 - prior);
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

// The sums of a segment or of a row.
struct Sums {
  long double loss = 0;
  long double weight = 0;
  uint64_t elements = 0;
  uint64_t valid = 0;
  uint64_t nonzero_weights = 0;
};

void AddTo(Sums& sums, const Inputs& in, const Element& element) {
  ++sums.elements;
  sums.loss += element.loss;
  if (!in.valid) return;
  ++sums.valid;
  sums.weight += in.w;
  if (in.w != 0) ++sums.nonzero_weights;
}

// Returns what the sum of a mean or of a row is divided by; `batch` is what
// Normalizer::kBatch divides by.
long double DivisorOf(const LossOptions& options, const Sums& sums,
                      uint64_t batch) {
  switch (options.normalizer) {
    case Normalizer::kElements:
      return std::max<uint64_t>(1, sums.elements);
    case Normalizer::kValid:
      return std::max<uint64_t>(1, sums.valid);
    case Normalizer::kBatch:
      return std::max<uint64_t>(1, batch);
    case Normalizer::kNonzeroWeights:
      return std::max<uint64_t>(1, sums.nonzero_weights);
    case Normalizer::kWeightSum:
      return sums.weight;
    case Normalizer::kCaller:
      return options.normalizer_value;
  }
  return 1;
}

// Returns loss_weight over a divisor, or 0 where that is 0.
long double ScaleOf(const LossOptions& options, long double divisor) {
  return divisor == 0 ? 0 : options.loss_weight / divisor;
}

// Fills in the losses of rows and returns the factor of each row's gradient.
std::vector<long double> ReduceRows(const Segment& segment,
                                    const std::vector<Sums>& rows,
                                    Answer& answer) {
  const LossOptions& options = segment.options;
  std::vector<long double> scales;
  long double sum = 0;
  uint64_t counting = 0;
  for (const Sums& row : rows) {
    scales.push_back(ScaleOf(options, DivisorOf(options, row, 1)));
    answer.row_losses.push_back(Times(scales.back(), row.loss));
    if (row.valid == 0) continue;
    sum += answer.row_losses.back();
    ++counting;
  }
  if (options.reduction == Reduction::kRows) return scales;
  answer.normalizer = std::max<uint64_t>(1, counting);
  answer.loss = sum / answer.normalizer;
  for (long double& scale : scales) scale /= answer.normalizer;
  return scales;
}

// Returns the factor of every gradient, and fills in the loss.
long double Reduce(const Segment& segment, const Sums& all, Answer& answer) {
  const LossOptions& options = segment.options;
  const uint64_t batch = segment.shape.rank == 0 ? 1 : segment.shape.dims[0];
  if (options.reduction == Reduction::kMean) {
    answer.normalizer = DivisorOf(options, all, batch);
  }
  const long double scale = ScaleOf(options, answer.normalizer);
  if (options.reduction != Reduction::kNone && all.valid > 0) {
    answer.loss = Times(scale, all.loss);
  }
  return scale;
}

}  // namespace

Element ElementOf(const LossOptions& options, const ElementInputs& in,
                  long double w) {
  // A NaN logit has a NaN loss even where both targets' factors are 0.
  if (std::isnan(in.x)) {
    const long double nan = Times(w, in.x);
    return {nan, nan, nan};
  }
  const LossParameters parameters = ParametersOf(options);
  ElementInputs near = in;
  near.x = std::clamp(in.x, -kFar, kFar);
  Jet loss = LossOf(options.kind, near, parameters);
  if (near.x != in.x) loss = Continued(loss, near.x, in.x);
  return {Times(w, loss.value), Times(w, loss.first), Times(w, loss.second)};
}

Element SigmoidCrossEntropy(long double x, long double t, long double q,
                            long double w) {
  return ElementOf(LossOptions(), {x, t, 1 - t, q}, w);
}

Answer Compute(const Segment& segment) {
  Answer answer;
  Sums all;
  std::vector<Sums> rows(HasRows(segment.options) ? segment.shape.dims[0] : 0);
  const auto row_of = [&rows, &segment](uint64_t i) {
    return i / (segment.element_count / rows.size());
  };
  std::vector<long double> derivatives, second_derivatives;
  for (uint64_t i = 0; i < segment.element_count; ++i) {
    const Inputs in = InputsOf(segment, i);
    const Element element =
        in.valid ? ElementOf(segment.options, in.element, in.w) : Element{};
    AddTo(all, in, element);
    if (!rows.empty()) AddTo(rows[row_of(i)], in, element);
    if (in.valid) {
      answer.first_operand_fault =
          std::min(answer.first_operand_fault, FaultOf(segment, i));
      if (std::isnan(in.element.x)) ++answer.nan_count;
    }
    answer.losses.push_back(element.loss * segment.options.loss_weight);
    derivatives.push_back(in.upstream * element.derivative);
    second_derivatives.push_back(in.upstream * element.second);
  }
  answer.valid_count = all.valid;
  std::vector<long double> scales;
  if (HasRows(segment.options)) {
    scales = ReduceRows(segment, rows, answer);
  } else {
    scales = {Reduce(segment, all, answer)};
  }
  for (uint64_t i = 0; i < segment.element_count; ++i) {
    const long double scale = scales[rows.empty() ? 0 : row_of(i)];
    answer.gradient.push_back(scale * derivatives[i]);
    answer.second_derivative.push_back(scale * second_derivatives[i]);
  }
  return answer;
}

}  // namespace lossd::kernels::reference
