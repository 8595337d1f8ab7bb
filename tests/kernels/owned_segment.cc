#include "tests/kernels/owned_segment.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>

#include "element_type/half.h"

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
  if (a.totals.first_operand_fault != b.totals.first_operand_fault) {
    return "first_operand_fault";
  }
  if (a.totals.first_bad_target != kNoIndex ||
      a.totals.first_operand_fault != kNoIndex) {
    return "";
  }
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
  if (a.second_derivative != b.second_derivative) return "second_derivative";
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
  // A vector's memory is aligned to 16 bytes. The kernels store unaligned.
  segment.gradient = gradient_.data();
  if (segment.second_derivative != nullptr) WantSecondDerivative();
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

void OwnedSegment::WantLosses(ElementType type) {
  segment.losses_type = type;
  losses_.resize(ByteSize(type, segment.element_count));
  segment.losses = losses_.data();
}

void OwnedSegment::WantSecondDerivative() {
  second_derivative_.resize(
      ByteSize(segment.gradient_type, segment.element_count));
  segment.second_derivative = second_derivative_.data();
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

void OwnedSegment::ForgetResults() {
  std::fill(gradient_.begin(), gradient_.end(), std::byte{0xcd});
  std::fill(losses_.begin(), losses_.end(), std::byte{0xcd});
  std::fill(second_derivative_.begin(), second_derivative_.end(),
            std::byte{0xcd});
}

double OwnedSegment::CountedNormalizer() {
  std::vector<BlockPartial> counts(BlockCount(segment));
  if (NeedsCounts(segment.options)) cpu::CountBlocks(segment, 0, counts);
  return NormalizerOf(segment, Combine(counts));
}

SegmentAnswer OwnedSegment::Compute(const cpu::InstructionSet& set,
                                    uint64_t step) {
  ForgetResults();
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

SegmentAnswer OwnedSegment::ComputeOnThreads(const cpu::InstructionSet& set,
                                             uint64_t threads) {
  ForgetResults();
  const double normalizer = CountedNormalizer();
  const double scale = GradientScale(segment, normalizer);
  std::vector<BlockPartial> partials(BlockCount(segment));
  std::vector<std::thread> running;
  for (uint64_t thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      for (uint64_t k = thread; k < partials.size(); k += threads) {
        set.compute_blocks(segment, scale, k,
                           std::span(partials).subspan(k, 1));
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  return AnswerFrom(partials, normalizer);
}

SegmentAnswer OwnedSegment::AnswerFrom(
    const std::vector<BlockPartial>& partials, double normalizer) const {
  const Totals totals = Combine(partials);
  return {LossOf(segment, totals, normalizer),
          normalizer,
          totals,
          gradient_,
          losses_,
          second_derivative_};
}

std::vector<double> OwnedSegment::Values(
    ElementType type, const std::vector<std::byte>& bytes) const {
  const Piece piece(bytes);
  const Tensor tensor = {type, {&piece, 1}};
  std::vector<double> values(bytes.empty() ? 0 : segment.element_count);
  for (size_t i = 0; i < values.size(); ++i) values[i] = ElementAt(tensor, i);
  return values;
}

}  // namespace lossd::kernels
