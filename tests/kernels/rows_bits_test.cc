// Losses of rows have the same bits on every instruction set, in any partition,
// on several threads and in windows.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "kernels/reference/reference.h"
#include "kernels/rows.h"
#include "tests/kernels/random_segment.h"
#include "tests/kernels/row_run.h"
#include "tests/kernels/rows_sample.h"

namespace lossd::kernels {
namespace {

TEST(RowsBits, HaveTheSameBitsOnEverySetInEveryPartitionAndOnEveryThread) {
  for (const LossOptions& options : EveryDivisor(Reduction::kRows)) {
    for (const uint64_t length : kLengths) {
      Rows rows(length < 100 ? 700 : 9, length, options, length % 2 == 0, 11);
      RowRun run(rows.owned);
      const RowAnswer best = run.Compute(cpu::BestInstructionSet());
      for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
        ASSERT_TRUE(run.Compute(set) == best) << set.name << " " << length;
        ASSERT_TRUE(run.Compute(set, 1) == best) << set.name << " " << length;
      }
      for (const uint64_t threads : {2, 3}) {
        ASSERT_TRUE(run.ComputeOnThreads(cpu::BestInstructionSet(), threads) ==
                    best)
            << threads << " threads, " << length;
      }
    }
  }
}

// Returns a random segment with rows of every type, shape and option; null if
// this seed's segment has no rows.
std::unique_ptr<OwnedSegment> RandomRows(unsigned seed) {
  auto owned = RandomSegment(seed);
  Segment& segment = owned->segment;
  if (segment.shape.rank == 0 || segment.element_count == 0) return nullptr;
  std::mt19937 random(seed);
  const bool is_mean = random() % 2 == 0;
  segment.options.reduction =
      is_mean ? Reduction::kMeanOfRows : Reduction::kRows;
  segment.options.reject_negative_weights =
      segment.options.normalizer == Normalizer::kWeightSum;
  segment.losses = nullptr;
  segment.upstream = Operand();
  if (!is_mean && random() % 2 == 0) {
    std::vector<double> upstream(segment.shape.dims[0]);
    for (double& value : upstream) value = 0.25 * (random() % 9) - 1;
    owned->SetUpstream(upstream, {1});
  }
  return owned;
}

constexpr unsigned kSegments = 700;

TEST(RowsBits, OfRandomSegmentsHaveTheSameBitsEverywhere) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomRows(seed);
    if (owned == nullptr) continue;
    RowRun run(*owned);
    const RowAnswer best = run.Compute(cpu::BestInstructionSet());
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      ASSERT_TRUE(run.Compute(set) == best) << set.name << ", seed " << seed;
    }
    ASSERT_TRUE(run.Compute(cpu::BestInstructionSet(), 1) == best) << seed;
    ASSERT_TRUE(run.ComputeOnThreads(cpu::BestInstructionSet(), 3) == best)
        << seed;
    std::mt19937 random(seed);
    owned->CutPieces(random);
    ASSERT_TRUE(RowRun(*owned).Compute(cpu::BestInstructionSet()) == best)
        << seed;
  }
}

// Fails unless `got` is near `exact`, in units of what its terms may reach.
void ExpectNear(double got, long double exact, double unit) {
  const auto near = static_cast<double>(exact);
  if (!std::isfinite(near)) {
    EXPECT_TRUE(std::isnan(near) ? std::isnan(got) : got == near) << got;
    return;
  }
  EXPECT_NEAR(got, near, 1e-12 * (std::fabs(near) + unit));
}

TEST(RowsBits, OfRandomSegmentsAreThoseOfTheReference) {
  int compared = 0;
  // One segment in thirty is of float64 throughout.
  for (unsigned seed = 0; seed < 3 * kSegments; ++seed) {
    const auto owned = RandomRows(seed);
    if (owned == nullptr) continue;
    const Segment& segment = owned->segment;
    if (segment.logits.type != ElementType::kFloat64 ||
        segment.gradient_type != ElementType::kFloat64) {
      continue;
    }
    const RowAnswer answer = RowRun(*owned).Compute(cpu::BestInstructionSet());
    if (answer.refused()) continue;
    SCOPED_TRACE(seed);
    const reference::Answer exact = reference::Compute(segment);
    ++compared;
    ASSERT_EQ(answer.losses.size(), exact.row_losses.size());
    for (size_t r = 0; r < answer.losses.size(); ++r) {
      ExpectNear(answer.losses[r], exact.row_losses[r], 1);
    }
    if (segment.options.reduction == Reduction::kMeanOfRows) {
      EXPECT_EQ(std::max<uint64_t>(1, answer.mean_rows), exact.normalizer);
      const double loss = segment.options.loss_weight * answer.mean_sum /
                          static_cast<double>(exact.normalizer);
      ExpectNear(loss, exact.loss, 1);
    }
    for (size_t i = 0; i < answer.gradient.size(); ++i) {
      ExpectNear(answer.gradient[i], exact.gradient[i], 1);
    }
    for (size_t i = 0; i < answer.second.size(); ++i) {
      ExpectNear(answer.second[i], exact.second_derivative[i], 1);
    }
  }
  EXPECT_GT(compared, 40);
}

// The order of the sum is part of the contract.
TEST(RowsBits, AreAddedUpInTheDocumentedOrder) {
  LossOptions options;
  options.reduction = Reduction::kRows;
  options.normalizer = Normalizer::kBatch;
  constexpr uint64_t kLength = 3001;
  Rows rows(5, kLength, options, true, 5);
  const RowAnswer answer =
      RowRun(rows.owned).Compute(cpu::BestInstructionSet());
  rows.owned.segment.options.reduction = Reduction::kNone;
  rows.owned.WantLosses();
  rows.owned.Compute(cpu::BestInstructionSet());
  const std::vector<double> losses = rows.owned.losses();
  for (uint64_t r = 0; r < 5; ++r) {
    double sum = 0, lost = 0;
    for (uint64_t i = r * kLength; i < (r + 1) * kLength;) {
      double lanes[8] = {};
      const uint64_t block = i / 2048;
      for (; i < (r + 1) * kLength && i / 2048 == block; ++i) {
        lanes[i % 8] += losses[i];
      }
      for (const int distance : {4, 2, 1}) {
        for (int k = 0; k < distance; ++k) lanes[k] += lanes[k + distance];
      }
      const double next = sum + lanes[0];
      lost +=
          sum >= lanes[0] ? (sum - next) + lanes[0] : (lanes[0] - next) + sum;
      sum = next;
    }
    ASSERT_EQ(std::bit_cast<uint64_t>(answer.losses[r]),
              std::bit_cast<uint64_t>(sum + lost))
        << r;
  }
}

// Segments that cut rows, as a stream's windows do, give the bits of the whole.
TEST(RowsBits, OfATensorInWindowsHaveTheSameBits) {
  LossOptions options;
  options.reduction = Reduction::kRows;
  for (const uint64_t length :
       {uint64_t{1}, uint64_t{100}, uint64_t{3000}, uint64_t{9000}}) {
    const uint64_t count = 18000 / length;
    Rows rows(count, length, options, false, 2);
    const RowAnswer whole =
        RowRun(rows.owned).Compute(cpu::BestInstructionSet());
    RowAccumulator accumulator;
    std::vector<double> losses;
    constexpr uint64_t kWindow = 2 * kBlockElements;
    for (uint64_t first = 0; first < count * length; first += kWindow) {
      const uint64_t n = std::min(kWindow, count * length - first);
      OwnedSegment window(ElementType::kFloat64, {n});
      const auto part = [&](const std::vector<double>& all) {
        const auto from = all.begin() + static_cast<ptrdiff_t>(first);
        return std::vector<double>(from, from + static_cast<ptrdiff_t>(n));
      };
      window.SetLogits(part(rows.logits));
      window.SetTargets(ElementType::kFloat64, part(rows.targets));
      window.segment.options = options;
      window.segment.row_elements = length;
      window.segment.first_in_row = first % length;
      std::vector<double> sums(RowPieceCount(window.segment));
      window.segment.row_sums = sums.data();
      window.Compute(cpu::BestInstructionSet());
      const uint64_t completed = losses.size() + CompletedRows(window.segment);
      accumulator.Add(window.segment, [&](const RowTotals& row) {
        losses.push_back(RowLoss(window.segment, row));
      });
      ASSERT_EQ(losses.size(), completed);
    }
    ASSERT_EQ(losses, whole.losses) << length;
  }
}

}  // namespace
}  // namespace lossd::kernels
