// Losses of rows against the reference of each row alone.
#include "kernels/rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/reference/reference.h"
#include "tests/kernels/row_run.h"
#include "tests/kernels/rows_sample.h"

namespace lossd::kernels {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Rows, HaveTheLossAndTheGradientOfARequestOfTheirOwn) {
  for (const LossOptions& options : EveryDivisor(Reduction::kRows)) {
    for (const uint64_t length : kLengths) {
      for (const bool weighted : {false, true}) {
        const uint64_t count = 9;
        Rows rows(count, length, options, weighted, 7);
        const RowAnswer answer =
            RowRun(rows.owned).Compute(cpu::BestInstructionSet());
        ASSERT_EQ(answer.losses.size(), count);
        for (uint64_t r = 0; r < count; ++r) {
          const reference::Answer alone = rows.Alone(r);
          const auto loss = static_cast<double>(alone.loss);
          ASSERT_NEAR(answer.losses[r], loss, 1e-13 * std::fabs(loss))
              << length << " " << static_cast<int>(options.normalizer);
          for (uint64_t i = 0; i < length; ++i) {
            const double exact =
                rows.upstream[r] * static_cast<double>(alone.gradient[i]);
            ASSERT_NEAR(answer.gradient[r * length + i], exact,
                        1e-14 * std::fabs(exact) + 1e-16)
                << length << " " << static_cast<int>(options.normalizer);
          }
        }
      }
    }
  }
}

TEST(Rows, TheirMeanIsOverThoseWithValidElements) {
  for (const LossOptions& options : EveryDivisor(Reduction::kMeanOfRows)) {
    for (const uint64_t length : {uint64_t{5}, uint64_t{3000}}) {
      Rows rows(9, length, options, true, 3);
      const RowAnswer answer =
          RowRun(rows.owned).Compute(cpu::BestInstructionSet());
      double sum = 0;
      uint64_t counted = 0;
      for (uint64_t r = 0; r < 9; ++r) {
        const reference::Answer alone = rows.Alone(r);
        if (alone.valid_count == 0) continue;
        ++counted;
        sum += static_cast<double>(alone.loss) / options.loss_weight;
      }
      ASSERT_EQ(answer.mean_rows, counted);
      ASSERT_NEAR(answer.mean_sum, sum, 1e-12 * sum);
      for (uint64_t r = 0; r < 9; ++r) {
        const reference::Answer alone = rows.Alone(r);
        for (uint64_t i = 0; i < length; ++i) {
          const double exact = static_cast<double>(alone.gradient[i]) /
                               static_cast<double>(counted);
          ASSERT_NEAR(answer.gradient[r * length + i], exact,
                      1e-14 * std::fabs(exact) + 1e-16);
        }
      }
    }
  }
}

TEST(Rows, ARefusedUpstreamGradientNamesItsRow) {
  LossOptions options;
  options.reduction = Reduction::kRows;
  options.normalizer = Normalizer::kValid;
  options.ignore_target = 2;
  Rows rows(9, 100, options, false, 2);
  rows.upstream = {1, kNan, 1, 1, 1, kNan, 1, kNan, 1};
  rows.owned.SetUpstream(rows.upstream, {1, 0}, ElementType::kFloat64);
  // Row 1 is ignored whole, so its operands need not be finite.
  EXPECT_EQ(
      RowRun(rows.owned).Compute(cpu::BestInstructionSet()).first_operand_fault,
      FaultMark(500, OperandFault::kUpstreamNotFinite));
  rows.owned.segment.options.reject_nan_logits = false;
  EXPECT_EQ(
      RowRun(rows.owned).Compute(cpu::BestInstructionSet()).first_operand_fault,
      kNoIndex);
}

TEST(Rows, ANanStaysInItsRowAndIsTheCanonicalOne) {
  LossOptions options;
  options.reduction = Reduction::kRows;
  options.reject_nan_logits = false;
  Rows rows(4, 3000, options, false, 2);
  rows.logits[3001] = kNan;
  rows.owned.SetLogits(rows.logits);
  const RowAnswer answer =
      RowRun(rows.owned).Compute(cpu::BestInstructionSet());
  EXPECT_EQ(std::bit_cast<uint64_t>(answer.losses[1]),
            std::bit_cast<uint64_t>(kNan));
  for (const int r : {0, 2, 3}) EXPECT_TRUE(std::isfinite(answer.losses[r]));
}

TEST(Rows, AreWrittenInTheirTypeRoundedOnce) {
  Segment segment;
  segment.options.reduction = Reduction::kRows;
  segment.options.normalizer = Normalizer::kBatch;
  segment.row_elements = 3;
  const RowTotals rows[] = {{.loss_sum = 1 + 0x1p-30}, {.loss_sum = 0.1}};
  const auto write = [&](auto& losses) {
    RowLossWriter writer(&segment,
                         std::as_writable_bytes(std::span(losses)).data());
    for (const RowTotals& row : rows) writer.Add(row);
  };
  float narrow[2];
  write(narrow);
  EXPECT_EQ(narrow[0], 1);
  EXPECT_EQ(narrow[1], 0.1f);
  segment.losses_type = ElementType::kFloat64;
  double wide[2];
  write(wide);
  EXPECT_EQ(wide[0], 1 + 0x1p-30);
  EXPECT_EQ(wide[1], 0.1);
}

// One row of 2^28 elements: bfloat16 logits of 0, and targets by their ones.
TEST(Rows, MayHaveMoreElementsThanAFloat32Counts) {
  constexpr uint64_t kCount = uint64_t{1} << 28;
  const std::vector<std::byte> zeros(uint64_t{1} << 21);
  const std::vector<Piece> pieces(2 * kCount / zeros.size(), Piece(zeros));
  Segment segment;
  segment.options.reduction = Reduction::kRows;
  segment.shape = {.rank = 2, .dims = {1, kCount}};
  segment.element_count = segment.row_elements = kCount;
  segment.logits = {ElementType::kBFloat16, pieces};
  std::vector<double> sums(RowPieceCount(segment));
  segment.row_sums = sums.data();
  std::vector<BlockPartial> partials(BlockCount(segment));
  cpu::BestInstructionSet().compute_blocks(segment, 0, 0, partials);
  std::vector<RowTotals> rows;
  RowAccumulator().Add(segment,
                       [&](const RowTotals& row) { rows.push_back(row); });
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0].valid_count, kCount);
  EXPECT_NEAR(RowLoss(segment, rows[0]), std::log(2.0), 1e-7);
}

}  // namespace
}  // namespace lossd::kernels
