// Computes segments with rows as the server does.
#ifndef LOSSD_TESTS_KERNELS_ROW_RUN_H_
#define LOSSD_TESTS_KERNELS_ROW_RUN_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <thread>
#include <vector>

#include "kernels/rows.h"
#include "tests/kernels/owned_segment.h"

namespace lossd::kernels {

// The answer to a segment with rows.
struct RowAnswer {
  std::vector<double> losses;
  std::vector<double> gradient;
  std::vector<double> second;
  double mean_sum = 0;
  uint64_t mean_rows = 0;
  uint64_t first_bad_target = kNoIndex;
  uint64_t first_operand_fault = kNoIndex;

  // True if the server refuses the request.
  bool refused() const {
    return first_bad_target != kNoIndex || first_operand_fault != kNoIndex;
  }

  bool operator==(const RowAnswer& other) const {
    const auto same = [](const std::vector<double>& a,
                         const std::vector<double>& b) {
      return a.size() == b.size() &&
             (a.empty() ||
              std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
    };
    if (refused() || other.refused()) {
      return first_bad_target == other.first_bad_target &&
             first_operand_fault == other.first_operand_fault;
    }
    return same(losses, other.losses) && same(gradient, other.gradient) &&
           same(second, other.second) && same({mean_sum}, {other.mean_sum}) &&
           mean_rows == other.mean_rows;
  }
};

// Computes the rows of a segment as the server does: counts if it must, then
// computes with the factors of the rows.
class RowRun {
 public:
  explicit RowRun(OwnedSegment& owned)
      : owned_(owned), segment_(owned.segment) {
    segment_.row_elements =
        segment_.element_count / std::max<uint64_t>(1, segment_.shape.dims[0]);
    sums_.assign(RowPieceCount(segment_),
                 std::numeric_limits<double>::quiet_NaN());
    segment_.row_sums = sums_.data();
    if (!NeedsRowCounts(segment_)) return;
    counts_.resize(sums_.size());
    segment_.row_counts = counts_.data();
  }

  RowAnswer Compute(const cpu::InstructionSet& set, uint64_t step = 1u << 30) {
    owned_.ForgetResults();
    Begin(set);
    const uint64_t blocks = BlockCount(segment_);
    std::vector<BlockPartial> partials(blocks);
    for (uint64_t end = blocks; end > 0;) {
      const uint64_t first = end > step ? end - step : 0;
      set.compute_blocks(computed_, scale_, first,
                         std::span(partials).subspan(first, end - first));
      end = first;
    }
    return Answer(Combine(partials));
  }

  RowAnswer ComputeOnThreads(const cpu::InstructionSet& set, uint64_t threads) {
    owned_.ForgetResults();
    Begin(set);
    std::vector<BlockPartial> partials(BlockCount(segment_));
    std::vector<std::thread> running;
    for (uint64_t thread = 0; thread < threads; ++thread) {
      running.emplace_back([&, thread] {
        for (uint64_t k = thread; k < partials.size(); k += threads) {
          set.compute_blocks(computed_, scale_, k,
                             std::span(partials).subspan(k, 1));
        }
      });
    }
    for (std::thread& thread : running) thread.join();
    return Answer(Combine(partials));
  }

 private:
  void Begin(const cpu::InstructionSet& set) {
    computed_ = segment_;
    if (!NeedsRowCounts(segment_)) {
      scale_ = GradientScale(segment_, KnownDivisor(segment_));
      return;
    }
    std::vector<BlockPartial> partials(BlockCount(segment_));
    set.count_blocks(segment_, 0, partials);
    factors_ = FactorsOf(segment_);
    bytes_ = std::as_bytes(std::span(factors_.factors));
    computed_.upstream = {
        .tensor = {.type = ElementType::kFloat64, .pieces = {&bytes_, 1}},
        .strides = {1}};
    computed_.checks_upstream = false;
    scale_ = 1;
  }

  RowAnswer Answer(const Totals& totals) {
    RowAnswer answer;
    MeanOfRows mean;
    RowAccumulator().Add(computed_, [&](const RowTotals& row) {
      answer.losses.push_back(RowLoss(computed_, row));
      mean.Add(computed_, row);
    });
    if (computed_.gradient != nullptr) answer.gradient = owned_.gradient();
    answer.second = owned_.second_derivative();
    answer.first_bad_target = totals.first_bad_target;
    answer.mean_sum = mean.sum();
    answer.mean_rows = mean.rows();
    answer.first_operand_fault =
        std::min(totals.first_operand_fault, factors_.first_operand_fault);
    return answer;
  }

  OwnedSegment& owned_;
  Segment segment_;
  Segment computed_;
  double scale_ = 0;
  std::vector<double> sums_;
  std::vector<RowCounts> counts_;
  RowFactors factors_;
  Piece bytes_;
};

}  // namespace lossd::kernels

#endif  // LOSSD_TESTS_KERNELS_ROW_RUN_H_
