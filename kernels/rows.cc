#include "kernels/rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "element_type/half.h"

namespace lossd::kernels {
namespace {

double AtLeastOne(uint64_t count) {
  return count == 0 ? 1.0 : static_cast<double>(count);
}

// Returns the totals of a row all of whose elements count.
RowTotals AllOf(uint64_t elements) {
  return {.loss_sum = 0,
          .weight_sum = static_cast<double>(elements),
          .valid_count = elements,
          .nonzero_weight_count = elements};
}

double Canonical(double value) {
  return std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
}

// Returns true if the segment refuses a row's upstream gradient.
bool Refuses(const Segment& segment, double upstream) {
  const double computed = segment.logits.type == ElementType::kFloat64
                              ? upstream
                              : static_cast<float>(upstream);
  return segment.options.reject_nan_logits && !std::isfinite(computed);
}

// Returns the number of rows of a mean that count in it, and else 1.
double CountingRows(const Segment& segment) {
  if (segment.options.reduction != Reduction::kMeanOfRows) return 1;
  uint64_t rows = 0;
  RowAccumulator().Add(segment, [&rows](const RowTotals& totals) {
    if (totals.valid_count > 0) ++rows;
  });
  return AtLeastOne(rows);
}

}  // namespace

bool NeedsRowCounts(const Segment& segment) {
  const LossOptions& options = segment.options;
  if (!HasRows(options)) return false;
  const bool ignores = options.ignore_target.has_value();
  if (options.reduction == Reduction::kMeanOfRows && ignores) return true;
  switch (options.normalizer) {
    case Normalizer::kValid:
      return ignores;
    case Normalizer::kNonzeroWeights:
    case Normalizer::kWeightSum:
      return ignores || segment.weights.present();
    case Normalizer::kElements:
    case Normalizer::kBatch:
    case Normalizer::kCaller:
      return false;
  }
  return false;
}

double KnownDivisor(const Segment& segment) {
  if (!HasRows(segment.options)) return NormalizerOf(segment, {});
  const double row = RowNormalizer(segment, AllOf(segment.row_elements));
  return segment.options.reduction == Reduction::kMeanOfRows
             ? row * AtLeastOne(RowCount(segment))
             : row;
}

double RowNormalizer(const Segment& segment, const RowTotals& totals) {
  return DivisorOf(segment.options, totals, segment.row_elements, 1);
}

double RowLoss(const Segment& segment, const RowTotals& totals) {
  const double normalizer = RowNormalizer(segment, totals);
  if (normalizer == 0) return 0;
  return Canonical(segment.options.loss_weight * totals.loss_sum / normalizer);
}

void RowAccumulator::AddPiece(const Segment& segment, uint64_t piece,
                              uint64_t elements) {
  sum_.Add(segment.row_sums[piece]);
  if (segment.row_counts == nullptr) {
    row_.weight_sum += static_cast<double>(elements);
    row_.valid_count += elements;
    row_.nonzero_weight_count += elements;
    return;
  }
  const RowCounts& counts = segment.row_counts[piece];
  row_.weight_sum += counts.weight_sum;
  row_.valid_count += counts.valid_count;
  row_.nonzero_weight_count += counts.nonzero_weight_count;
}

RowTotals RowAccumulator::Take() {
  RowTotals totals = row_;
  totals.loss_sum = sum_.Sum();
  totals.weight_sum = Canonical(totals.weight_sum);
  row_ = {};
  sum_ = {};
  return totals;
}

void MeanOfRows::Add(const Segment& segment, const RowTotals& totals) {
  if (totals.valid_count == 0) return;
  ++rows_;
  const double normalizer = RowNormalizer(segment, totals);
  if (normalizer != 0) sum_.Add(totals.loss_sum / normalizer);
}

void RowLossWriter::Add(const RowTotals& totals) {
  WithStoredFloat(segment_->losses_type, [&](auto stored) {
    StoreRounded(RowLoss(*segment_, totals), &stored);
    std::memcpy(to_, &stored, sizeof(stored));
    to_ += sizeof(stored);
  });
}

RowFactors FactorsOf(const Segment& segment) {
  const double divisor = CountingRows(segment);
  RowFactors result;
  result.factors.reserve(RowCount(segment));
  RowAccumulator().Add(segment, [&](const RowTotals& totals) {
    const uint64_t row = result.factors.size();
    const double upstream = segment.upstream.present()
                                ? ElementAt(segment.upstream.tensor, row)
                                : 1;
    if (totals.nonzero_weight_count > 0 && Refuses(segment, upstream)) {
      result.first_operand_fault =
          std::min(result.first_operand_fault,
                   FaultMark(row * segment.row_elements,
                             OperandFault::kUpstreamNotFinite));
    }
    const double normalizer = RowNormalizer(segment, totals) * divisor;
    result.factors.push_back(LossScale(segment.options, normalizer) *
                             segment.upstream_scalar * upstream);
  });
  return result;
}

}  // namespace lossd::kernels
