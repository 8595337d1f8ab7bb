#include "tests/kernels/random_segment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace lossd::kernels {
namespace {

std::vector<uint64_t> RandomDims(std::mt19937& random) {
  switch (random() % 7) {
    case 0:
      return {1 + random() % 70};
    case 1:
      return {kBlockElements - 2 + random() % 5};
    case 2:
      return {1 + random() % 9, 1 + random() % 9, 1 + random() % 40};
    case 3:
      return {1 + random() % 5, 700 + random() % 1500};
    case 4:
      return {(1 + random() % 3) * kBlockElements - 1 + random() % 3};
    case 5:
      if (random() % 2 == 0) return {random() % 3, 0, 7};
      return {1 + random() % 400, 1 + random() % 3};
    default:
      return {};
  }
}

// Strides that broadcast some dimensions, and the number of elements that they
// reach.
std::vector<uint64_t> RandomStrides(const Shape& shape, std::mt19937& random,
                                    uint64_t* count) {
  std::vector<uint64_t> strides(static_cast<size_t>(shape.rank));
  *count = 1;
  for (size_t k = strides.size(); k-- > 0;) {
    if (random() % 2 == 0) continue;
    strides[k] = *count;
    *count *= shape.dims[k];
  }
  return strides;
}

// kBit is last, because operands are of any type but kBit.
constexpr ElementType kTypes[] = {
    ElementType::kFloat32, ElementType::kFloat64,      ElementType::kBFloat16,
    ElementType::kFloat16, ElementType::kUint8,        ElementType::kBool,
    ElementType::kInt32,   ElementType::kInt64,        ElementType::kInt8,
    ElementType::kInt16,   ElementType::kFloat8E4M3Fn, ElementType::kFloat8E5M2,
    ElementType::kBit};
constexpr unsigned kOperandTypes = 12;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Sets a random operand with random broadcasting. Some values of float types
// must be rounded to the operand's or the logits' type. One in eight operands
// has values that requests must not have.
void SetRandomOperand(OwnedSegment& owned, std::mt19937& random,
                      void (OwnedSegment::*set)(const std::vector<double>&,
                                                const std::vector<uint64_t>&,
                                                ElementType)) {
  const ElementType type = random() % 2 == 0 ? ElementType::kFloat32
                                             : kTypes[random() % kOperandTypes];
  const double unit = type == ElementType::kFloat64 ? 0.2 : 0.25;
  uint64_t count = 0;
  const auto strides = RandomStrides(owned.segment.shape, random, &count);
  std::vector<double> values(count);
  const bool bad = IsFloat(type) && random() % 8 == 0;
  for (double& v : values) {
    v = random() % 4 == 0 ? 0 : unit * (1 + random() % 8);
    if (!IsFloat(type)) v = std::ceil(v);
    if (bad && random() % 40 == 0) {
      v = std::array{kNan, kInfinity, -kInfinity, -1.0}[random() % 4];
    }
    // Float32 logits make an infinity of this one.
    if (bad && type == ElementType::kFloat64 && random() % 40 == 0) v = 1e300;
  }
  (owned.*set)(values, strides, type);
}

double RandomLogit(std::mt19937& random) {
  switch (random() % 200) {
    case 0:
      return std::numeric_limits<double>::infinity();
    case 1:
      return -std::numeric_limits<double>::infinity();
    case 2:
      return 0;
    case 3:
      return -0.0;
    case 4:
      return random() % 4 == 0 ? std::numeric_limits<double>::quiet_NaN()
                               : 1e-42;
    case 5:
      return -100 + 0.1 * (random() % 100);
    default:
      return std::normal_distribution<double>(
          0, random() % 2 == 0 ? 1 : 20)(random);
  }
}

bool MayDetach(LossKind kind) {
  return kind == LossKind::kSigmoidFocal || kind == LossKind::kAsymmetric;
}

// Returns true if the loss has no meaning for targets outside [0, 1].
bool NeedsUnitInterval(const LossOptions& options) {
  switch (options.kind) {
    case LossKind::kSigmoidFocal:
    case LossKind::kPoly:
      return !options.mixes_soft_targets;
    case LossKind::kQualityFocal:
    case LossKind::kVarifocal:
      return true;
    default:
      return false;
  }
}

// Parameters that the chosen kind does not read are set, too.
void RandomLoss(LossOptions& options, std::mt19937& random) {
  constexpr double kGammas[] = {0, 0, 0.5, 1, 2, 3.7};
  options.kind = static_cast<LossKind>(random() % kLossKindCount);
  options.focal_gamma = kGammas[random() % 6];
  if (random() % 2 == 0) options.focal_alpha = 0.25;
  options.asymmetric_gamma_positive = kGammas[random() % 6];
  options.asymmetric_gamma_negative = kGammas[random() % 6];
  if (random() % 2 == 0) options.asymmetric_margin = 0.05;
  constexpr double kEpsilons[] = {0, 1, -1, 3.5};
  options.poly_epsilon = kEpsilons[random() % 4];
  options.mixes_soft_targets = random() % 2 == 0;
  options.detaches_focus = random() % 2 == 0 && MayDetach(options.kind);
}

void RandomOptions(OwnedSegment& owned, std::mt19937& random) {
  LossOptions& options = owned.segment.options;
  options.reduction = static_cast<Reduction>(random() % 3);
  options.normalizer = static_cast<Normalizer>(random() % 6);
  options.normalizer_value = 7.5;
  options.reject_negative_weights =
      options.reduction == Reduction::kMean &&
      options.normalizer == Normalizer::kWeightSum;
  if (random() % 3 == 0) options.loss_weight = 3.7;
  if (random() % 2 == 0) {
    constexpr double kIgnored[] = {0, 1, 2, 2, kNan, kNan, kNan};
    options.ignore_target = kIgnored[random() % std::size(kIgnored)];
  }
  if (random() % 3 == 0) options.label_smoothing = 0.1;
  if (random() % 3 == 0) options.label_smoothing_prior = 0.125;
  options.targets_in_unit_interval = random() % 4 != 0;
  owned.segment.upstream_scalar = random() % 3 == 0 ? 0.3 : 1;
  if (random() % 2 == 0) {
    SetRandomOperand(owned, random, &OwnedSegment::SetWeights);
  }
  if (random() % 2 == 0) {
    SetRandomOperand(owned, random, &OwnedSegment::SetPosWeight);
  }
  if (options.reduction == Reduction::kNone) {
    owned.WantLosses(random() % 2 == 0
                         ? owned.segment.logits.type
                         : kFloatTypes[random() % kFloatTypes.size()]);
    if (random() % 2 == 0) {
      SetRandomOperand(owned, random, &OwnedSegment::SetUpstream);
    }
  }
}

// Draws targets by their ones: few or many, as a list or as a diagonal.
void SetRandomOnes(OwnedSegment& owned, std::mt19937& random) {
  const uint64_t n = owned.segment.element_count;
  if (random() % 2 == 0) {
    const uint64_t one_in = std::array{1, 2, 30, 1000}[random() % 4];
    std::vector<uint64_t> indices;
    for (uint64_t i = 0; i < n; ++i) {
      if (random() % one_in == 0) indices.push_back(i);
    }
    return owned.SetOnes(std::move(indices));
  }
  if (n == 0) return owned.SetOnes(0, 1, 0);
  const uint64_t first = random() % (random() % 2 == 0 ? n : 1);
  const uint64_t stride = 1 + random() % (random() % 2 == 0 ? 50 : n);
  const uint64_t most = (n - first - 1) / stride + 1;
  owned.SetOnes(first, stride, random() % 2 == 0 ? most : random() % most);
}

void SetRandomTargets(OwnedSegment& owned, std::mt19937& random) {
  if (random() % 4 == 0) return SetRandomOnes(owned, random);
  const ElementType type = random() % 3 == 0
                               ? owned.segment.logits.type
                               : kTypes[random() % (kOperandTypes + 1)];
  const bool soft = IsFloat(type) && random() % 2 == 0;
  const bool bad = random() % 2 == 0;
  std::vector<double> targets(owned.segment.element_count);
  for (double& t : targets) {
    t = soft ? 0.001 * (random() % 1001) : random() % 2;
    if (!bad || random() % 20 != 0) continue;
    t = type == ElementType::kBit            ? 1
        : IsFloat(type) && random() % 2 == 0 ? kNan
                                             : 2;
  }
  owned.SetTargets(type, targets);
}

}  // namespace

std::unique_ptr<OwnedSegment> RandomSegment(unsigned seed) {
  std::mt19937 random(seed);
  const ElementType type = random() % 3 == 0
                               ? ElementType::kFloat32
                               : kFloatTypes[random() % kFloatTypes.size()];
  auto owned = std::make_unique<OwnedSegment>(type, RandomDims(random));
  std::vector<double> logits(owned->segment.element_count);
  for (double& x : logits) x = RandomLogit(random);
  owned->SetLogits(logits);
  SetRandomTargets(*owned, random);
  if (random() % 3 == 0)
    owned->SetGradientType(kFloatTypes[random() % kFloatTypes.size()]);
  if (random() % 3 != 0) RandomOptions(*owned, random);
  if (random() % 2 == 0) RandomLoss(owned->segment.options, random);
  if (NeedsUnitInterval(owned->segment.options))
    owned->segment.options.targets_in_unit_interval = true;
  if (random() % 3 == 0) owned->WantSecondDerivative();
  if (random() % 5 == 0) owned->segment.gradient = nullptr;
  if (random() % 2 == 0) owned->CutPieces(random);
  return owned;
}

}  // namespace lossd::kernels
