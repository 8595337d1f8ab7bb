#include "kernels/sigmoid_loss.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "element_type/half.h"

namespace lossd::kernels {
namespace {

// The weight of negatives in the varifocal loss's paper.
constexpr double kVarifocalAlpha = 0.75;

// Copies `size` bytes at `offset` of the pieces to `to`.
void CopyOut(std::span<const Piece> pieces, uint64_t offset, size_t size,
             std::byte* to) {
  for (const Piece& piece : pieces) {
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    const size_t here = std::min<size_t>(size, piece.size() - offset);
    std::memcpy(to, piece.data() + offset, here);
    to += here;
    size -= here;
    offset = 0;
    if (size == 0) return;
  }
}

template <class Stored>
Stored Read(const Tensor& tensor, uint64_t index) {
  assert(!tensor.on_device);
  Stored value{};
  CopyOut(tensor.pieces, index * sizeof(Stored), sizeof(Stored),
          reinterpret_cast<std::byte*>(&value));
  return value;
}

bool IsOne(const Ones& ones, uint64_t index) {
  if (!ones.indices.empty()) {
    return std::binary_search(ones.indices.begin(), ones.indices.end(), index);
  }
  if (index < ones.first) return false;
  const uint64_t distance = index - ones.first;
  return distance % ones.stride == 0 && distance / ones.stride < ones.count;
}

}  // namespace

std::string_view Name(LossKind kind) {
  switch (kind) {
    case LossKind::kSigmoidCrossEntropy:
      return "sigmoid_cross_entropy";
    case LossKind::kSigmoidFocal:
      return "sigmoid_focal";
    case LossKind::kAsymmetric:
      return "asymmetric";
    case LossKind::kPoly:
      return "poly";
    case LossKind::kQualityFocal:
      return "quality_focal";
    case LossKind::kVarifocal:
      return "varifocal";
  }
  return "unknown";
}

LossParameters ParametersOf(const LossOptions& options) {
  LossParameters parameters;
  switch (options.kind) {
    case LossKind::kSigmoidCrossEntropy:
      return parameters;
    case LossKind::kPoly:
      parameters.epsilon = options.poly_epsilon;
      [[fallthrough]];
    case LossKind::kSigmoidFocal:
      parameters.mixes_soft_targets = options.mixes_soft_targets;
      if (options.focal_alpha) {
        parameters.alpha_positive = *options.focal_alpha;
        parameters.alpha_negative = 1 - *options.focal_alpha;
      }
      [[fallthrough]];
    case LossKind::kQualityFocal:
      parameters.gamma_positive = options.focal_gamma;
      parameters.gamma_negative = options.focal_gamma;
      break;
    case LossKind::kVarifocal:
      parameters.gamma_negative = options.focal_gamma;
      parameters.alpha_negative = options.focal_alpha.value_or(kVarifocalAlpha);
      break;
    case LossKind::kAsymmetric:
      parameters.gamma_positive = options.asymmetric_gamma_positive;
      parameters.gamma_negative = options.asymmetric_gamma_negative;
      parameters.margin = options.asymmetric_margin;
      break;
  }
  if (options.detaches_focus) return parameters;
  parameters.slope_positive = parameters.gamma_positive;
  parameters.slope_negative = parameters.gamma_negative;
  return parameters;
}

void CompensatedSum::Add(double value) {
  const double next = sum_ + value;
  lost_ += std::fabs(sum_) >= std::fabs(value) ? (sum_ - next) + value
                                               : (value - next) + sum_;
  sum_ = next;
}

// The sign and payload of a computed NaN depend on the machine.
double CompensatedSum::Sum() const {  // D6
  if (std::isnan(sum_)) return std::numeric_limits<double>::quiet_NaN();
  return std::isinf(sum_) ? sum_ : sum_ + lost_;
}

void TotalsAccumulator::Add(std::span<const BlockPartial> partials,
                            uint64_t first_element) {
  const auto whole_index = [first_element](uint64_t index) {
    return index == kNoIndex ? kNoIndex : first_element + index;
  };
  for (const BlockPartial& partial : partials) {
    loss_sum_.Add(partial.loss_sum);
    totals_.weight_sum += partial.weight_sum;
    totals_.valid_count += partial.valid_count;
    totals_.nonzero_weight_count += partial.nonzero_weight_count;
    totals_.nan_count += partial.nan_count;
    totals_.first_nan =
        std::min(totals_.first_nan, whole_index(partial.first_nan));
    totals_.first_bad_target = std::min(totals_.first_bad_target,
                                        whole_index(partial.first_bad_target));
    if (partial.first_operand_fault == kNoIndex) continue;
    totals_.first_operand_fault =
        std::min(totals_.first_operand_fault,
                 partial.first_operand_fault + kOperandFaults * first_element);
  }
}

Totals TotalsAccumulator::Sum() const {
  Totals totals = totals_;
  totals.loss_sum = loss_sum_.Sum();
  if (std::isnan(totals.weight_sum)) {
    totals.weight_sum = std::numeric_limits<double>::quiet_NaN();
  }
  return totals;
}

Totals Combine(std::span<const BlockPartial> partials) {
  TotalsAccumulator accumulator;
  accumulator.Add(partials);
  return accumulator.Sum();
}

bool NeedsCounts(const LossOptions& options) {
  return options.reduction == Reduction::kMean &&
         (options.normalizer == Normalizer::kValid ||
          options.normalizer == Normalizer::kNonzeroWeights ||
          options.normalizer == Normalizer::kWeightSum);
}

double NormalizerOf(const Segment& segment, const Totals& totals) {
  if (segment.options.reduction != Reduction::kMean) return 1;
  const uint64_t batch = segment.shape.rank == 0 ? 1 : segment.shape.dims[0];
  return DivisorOf(segment.options, totals, segment.element_count, batch);
}

double LossScale(const LossOptions& options, double normalizer) {
  return normalizer == 0 ? 0 : options.loss_weight / normalizer;
}

double GradientScale(const Segment& segment, double normalizer) {
  return LossScale(segment.options, normalizer) * segment.upstream_scalar;
}

double LossOf(const Segment& segment, const Totals& totals, double normalizer) {
  if (segment.options.reduction == Reduction::kNone ||
      segment.options.reduction == Reduction::kRows ||
      totals.valid_count == 0 || normalizer == 0) {
    return 0;
  }
  // A single division at the end: rounding the scale by itself would cost
  // another half ulp.
  const double loss =
      segment.options.loss_weight * totals.loss_sum / normalizer;
  return std::isnan(loss) ? std::numeric_limits<double>::quiet_NaN() : loss;
}

double ElementAt(const Tensor& tensor, uint64_t index) {
  if (tensor.type == ElementType::kBit) {
    return (Read<uint8_t>(tensor, index / 8) >> (index % 8)) & 1;
  }
  double value = 0;
  WithStored(tensor.type, [&](auto stored) {
    value = Loaded<double>(Read<decltype(stored)>(tensor, index));
  });
  return value;
}

double TargetAt(const Segment& segment, uint64_t index) {
  if (segment.targets.present()) return ElementAt(segment.targets, index);
  return IsOne(segment.ones, index) ? 1 : 0;
}

std::optional<int64_t> AsInt64(double value) {
  if (!(value >= -0x1p63 && value < 0x1p63)) return std::nullopt;
  const auto whole = static_cast<int64_t>(value);
  if (static_cast<double>(whole) != value) return std::nullopt;
  return whole;
}

bool IsIgnored(const Segment& segment, uint64_t index) {
  if (!segment.options.ignore_target) return false;
  const double ignored = *segment.options.ignore_target;
  if (segment.targets.present() &&
      segment.targets.type == ElementType::kInt64) {
    return AsInt64(ignored) == Read<int64_t>(segment.targets, index);
  }
  const double target = TargetAt(segment, index);
  return target == ignored || (std::isnan(target) && std::isnan(ignored));
}

}  // namespace lossd::kernels
