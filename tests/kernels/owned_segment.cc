#include "tests/kernels/owned_segment.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "kernels/half.h"

namespace lossd::kernels {
namespace {

bool SameBits(double a, double b) {
  return std::bit_cast<uint64_t>(a) == std::bit_cast<uint64_t>(b);
}

}  // namespace

std::string Difference(const SegmentAnswer& a, const SegmentAnswer& b) {
  if (a.totals.first_bad_target != b.totals.first_bad_target) {
    return "first_bad_target";
  }
  if (a.totals.first_bad_target != kNoIndex) return "";
  if (!SameBits(a.loss, b.loss)) return "loss";
  if (!SameBits(a.normalizer, b.normalizer)) return "normalizer";
  if (!SameBits(a.totals.loss_sum, b.totals.loss_sum)) return "loss_sum";
  if (!SameBits(a.totals.weight_sum, b.totals.weight_sum)) return "weight_sum";
  if (a.totals.valid_count != b.totals.valid_count) return "valid_count";
  if (a.totals.nonzero_weight_count != b.totals.nonzero_weight_count)
    return "nonzero_weight_count";
  if (a.totals.nan_count != b.totals.nan_count) return "nan_count";
  if (a.totals.first_nan != b.totals.first_nan) return "first_nan";
  if (a.gradient != b.gradient) return "gradient";
  if (a.losses != b.losses) return "losses";
  return "";
}

OwnedSegment::OwnedSegment(ElementType type, std::vector<uint64_t> dims) {
  segment.shape.rank = static_cast<int>(dims.size());
  segment.element_count = 1;
  for (size_t k = 0; k < dims.size(); ++k) {
    segment.shape.dims[k] = dims[k];
    segment.element_count *= dims[k];
  }
  segment.logits.type = type;
  SetGradientType(type);
}

void OwnedSegment::SetGradientType(ElementType type) {
  segment.gradient_type = type;
  gradient_.resize(ByteSize(type, segment.element_count));
  // A vector's memory is aligned to 16; the kernels store unaligned.
  segment.gradient = gradient_.data();
}

void OwnedSegment::SetOnes(std::vector<uint64_t> indices) {
  segment.targets = Tensor();
  ones_ = std::move(indices);
  segment.ones = {.indices = ones_};
}

void OwnedSegment::SetOnes(uint64_t first, uint64_t stride, uint64_t count) {
  segment.targets = Tensor();
  segment.ones = {.first = first, .stride = stride, .count = count};
}

void OwnedSegment::Store(ElementType type, const std::vector<double>& values,
                         Bytes& bytes, Tensor& tensor) {
  bytes.storage.assign(ByteSize(type, values.size()), std::byte{0});
  for (size_t i = 0; i < values.size(); ++i) {
    if (type == ElementType::kBit) {
      if (values[i] != 0) bytes.storage[i / 8] |= std::byte(1 << (i % 8));
      continue;
    }
    WithStored(type, [&]<class Stored>(Stored stored) {
      if constexpr (std::is_integral_v<Stored>) {
        stored = static_cast<Stored>(values[i]);
      } else {
        StoreRounded(values[i], &stored);
      }
      std::memcpy(bytes.storage.data() + i * sizeof(stored), &stored,
                  sizeof(stored));
    });
  }
  bytes.pieces = {Piece(bytes.storage)};
  tensor = {type, bytes.pieces};
}

void OwnedSegment::SetLogits(const std::vector<double>& values) {
  Store(segment.logits.type, values, logits_, segment.logits);
}

void OwnedSegment::SetTargets(ElementType type,
                              const std::vector<double>& values) {
  Store(type, values, targets_, segment.targets);
}

void OwnedSegment::SetOperand(ElementType type,
                              const std::vector<double>& values,
                              const std::vector<uint64_t>& strides,
                              Bytes& bytes, Operand& operand) {
  Store(type, values, bytes, operand.tensor);
  std::copy(strides.begin(), strides.end(), operand.strides.begin());
}

void OwnedSegment::SetWeights(const std::vector<double>& values,
                              const std::vector<uint64_t>& strides,
                              ElementType type) {
  SetOperand(type, values, strides, weights_, segment.weights);
}

void OwnedSegment::SetPosWeight(const std::vector<double>& values,
                                const std::vector<uint64_t>& strides,
                                ElementType type) {
  SetOperand(type, values, strides, pos_weight_, segment.pos_weight);
}

void OwnedSegment::SetUpstream(const std::vector<double>& values,
                               const std::vector<uint64_t>& strides,
                               ElementType type) {
  SetOperand(type, values, strides, upstream_, segment.upstream);
}

void OwnedSegment::WantLosses() {
  losses_.resize(ByteSize(segment.logits.type, segment.element_count));
  segment.losses = losses_.data();
}

void OwnedSegment::CutPieces(std::mt19937& random) {
  const std::pair<Bytes*, Tensor*> all[] = {
      {&logits_, &segment.logits},
      {&targets_, &segment.targets},
      {&weights_, &segment.weights.tensor},
      {&pos_weight_, &segment.pos_weight.tensor},
      {&upstream_, &segment.upstream.tensor}};
  for (const auto& [bytes, tensor] : all) {
    if (!tensor->present()) continue;
    const Piece whole(bytes->storage);
    std::vector<size_t> cuts = {0, whole.size()};
    for (unsigned k = random() % 6; k > 0; --k)
      cuts.push_back(random() % (whole.size() + 1));
    std::sort(cuts.begin(), cuts.end());
    bytes->pieces.clear();
    for (size_t k = 1; k < cuts.size(); ++k) {
      bytes->pieces.push_back(
          whole.subspan(cuts[k - 1], cuts[k] - cuts[k - 1]));
    }
    tensor->pieces = bytes->pieces;
  }
}

double OwnedSegment::CountedNormalizer() {
  std::vector<BlockPartial> counts(BlockCount(segment));
  if (NeedsCounts(segment.options)) cpu::CountBlocks(segment, 0, counts);
  return NormalizerOf(segment, Combine(counts));
}

SegmentAnswer OwnedSegment::Compute(const cpu::InstructionSet& set,
                                    uint64_t step) {
  std::fill(gradient_.begin(), gradient_.end(), std::byte{0xcd});
  std::fill(losses_.begin(), losses_.end(), std::byte{0xcd});
  const double normalizer = CountedNormalizer();
  std::vector<BlockPartial> partials(BlockCount(segment));
  uint64_t end = partials.size();
  while (end > 0) {
    const uint64_t first = end > step ? end - step : 0;
    set.compute_blocks(segment, GradientScale(segment, normalizer), first,
                       std::span(partials).subspan(first, end - first));
    end = first;
  }
  return AnswerFrom(partials, normalizer);
}

SegmentAnswer OwnedSegment::AnswerFrom(
    const std::vector<BlockPartial>& partials, double normalizer) const {
  const Totals totals = Combine(partials);
  return {LossOf(segment, totals, normalizer), normalizer, totals, gradient_,
          losses_};
}

std::vector<double> OwnedSegment::Values(
    ElementType type, const std::vector<std::byte>& bytes) const {
  const Piece piece(bytes);
  const Tensor tensor = {type, {&piece, 1}};
  std::vector<double> values(bytes.empty() ? 0 : segment.element_count);
  for (size_t i = 0; i < values.size(); ++i) values[i] = ElementAt(tensor, i);
  return values;
}

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

// Strides that broadcast some dimensions, and how many elements they reach.
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

// An operand's broadcasting and values; in float64 some that float32 must
// round.
void SetRandomOperand(OwnedSegment& owned, std::mt19937& random,
                      void (OwnedSegment::*set)(const std::vector<double>&,
                                                const std::vector<uint64_t>&,
                                                ElementType)) {
  const bool wide = random() % 3 == 0;
  uint64_t count = 0;
  const auto strides = RandomStrides(owned.segment.shape, random, &count);
  std::vector<double> values(count);
  for (double& v : values) {
    v = random() % 4 == 0 ? 0 : (wide ? 0.2 : 0.25) * (1 + random() % 8);
  }
  (owned.*set)(values, strides,
               wide ? ElementType::kFloat64 : ElementType::kFloat32);
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

void RandomOptions(OwnedSegment& owned, std::mt19937& random) {
  LossOptions& options = owned.segment.options;
  options.reduction = static_cast<Reduction>(random() % 3);
  options.normalizer = static_cast<Normalizer>(random() % 6);
  options.normalizer_value = 7.5;
  if (random() % 3 == 0) options.loss_weight = 3.7;
  if (random() % 3 == 0) options.ignore_target = random() % 2 == 0 ? 1 : 2;
  if (random() % 3 == 0) options.label_smoothing = 0.1;
  options.targets_in_unit_interval = random() % 4 != 0;
  owned.segment.upstream_scalar = random() % 3 == 0 ? 0.3 : 1;
  if (random() % 2 == 0) {
    SetRandomOperand(owned, random, &OwnedSegment::SetWeights);
  }
  if (random() % 2 == 0) {
    SetRandomOperand(owned, random, &OwnedSegment::SetPosWeight);
  }
  if (options.reduction == Reduction::kNone) {
    owned.WantLosses();
    if (random() % 2 == 0) {
      SetRandomOperand(owned, random, &OwnedSegment::SetUpstream);
    }
  }
}

}  // namespace

std::unique_ptr<OwnedSegment> RandomSegment(unsigned seed) {
  std::mt19937 random(seed);
  const ElementType type =
      random() % 4 == 0 ? ElementType::kFloat64 : ElementType::kFloat32;
  auto owned = std::make_unique<OwnedSegment>(type, RandomDims(random));
  const uint64_t n = owned->segment.element_count;
  std::vector<double> logits(n);
  for (double& x : logits) x = RandomLogit(random);
  owned->SetLogits(logits);

  constexpr ElementType kTargets[] = {
      ElementType::kFloat32, ElementType::kFloat64, ElementType::kUint8,
      ElementType::kBool,    ElementType::kBit,     ElementType::kInt32,
      ElementType::kInt64};
  const ElementType target = random() % 3 == 0 ? type : kTargets[random() % 7];
  const bool soft =
      target == ElementType::kFloat32 || target == ElementType::kFloat64;
  const bool bad = random() % 4 == 0;
  std::vector<double> targets(n);
  for (double& t : targets) {
    t = soft && random() % 2 == 0 ? 0.001 * (random() % 1001) : random() % 2;
    if (bad && random() % 50 == 0) t = target == ElementType::kBit ? 1 : 2;
  }
  owned->SetTargets(target, targets);
  if (random() % 3 != 0) RandomOptions(*owned, random);
  if (random() % 5 == 0) owned->segment.gradient = nullptr;
  if (random() % 2 == 0) owned->CutPieces(random);
  return owned;
}

}  // namespace lossd::kernels
