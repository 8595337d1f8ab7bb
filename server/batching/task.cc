#include "server/batching/task.h"

#include <algorithm>
#include <span>

namespace lossd::batching {
namespace {

// Gives the segment the memory of its rows.
void PrepareRows(Task& task) {
  kernels::Segment& segment = task.segment;
  if (!kernels::HasRows(segment.options)) return;
  task.rows = {};
  const uint64_t pieces = kernels::RowPieceCount(segment);
  task.rows.sums.assign(pieces, 0);
  segment.row_sums = task.rows.sums.data();
  if (!kernels::NeedsRowCounts(segment)) return;
  task.rows.counts.assign(pieces, {});
  segment.row_counts = task.rows.counts.data();
}

// Replaces the upstream gradient of a counted segment by factors, of which each
// has the divisor of its row.
void UseRowFactors(Task& task) {
  kernels::Segment& segment = task.segment;
  task.rows.factors = kernels::FactorsOf(segment);
  task.rows.factor_bytes = std::as_bytes(std::span(task.rows.factors.factors));
  segment.upstream = {
      .tensor = {.type = kernels::ElementType::kFloat64,
                 .pieces = std::span(&task.rows.factor_bytes, 1)},
      .strides = {1}};  // one for each index of the first dimension
  segment.checks_upstream = false;
}

// Returns the answer with what rows add to it: a mean of rows is the sum of
// their losses, divided by their number.
void AddRows(const Task& task, Computed& computed) {
  const kernels::Segment& segment = task.segment;
  computed.totals.first_operand_fault =
      std::min(computed.totals.first_operand_fault,
               task.rows.factors.first_operand_fault);
  if (segment.options.reduction != kernels::Reduction::kMeanOfRows) return;
  kernels::MeanOfRows mean;
  kernels::RowAccumulator().Add(
      segment, [&](const auto& totals) { mean.Add(segment, totals); });
  computed.totals.loss_sum = mean.sum();
  computed.normalizer = static_cast<double>(std::max<uint64_t>(1, mean.rows()));
}

}  // namespace

void Prepare(Task& task) {
  PrepareRows(task);
  const kernels::Segment& segment = task.segment;
  const uint64_t blocks = kernels::BlockCount(segment);
  task.partials.resize(IsIndivisible(segment) ? 0 : blocks);
  task.next_block = 0;
  task.started = absl::Time();
  task.batch_requests = 0;
  task.batch_elements = 0;
  task.blocks_left.store(blocks, std::memory_order_relaxed);
  const bool has_derivatives = segment.has_derivatives();
  if (has_derivatives && (kernels::NeedsCounts(segment.options) ||
                          kernels::NeedsRowCounts(segment))) {
    task.phase = Task::Phase::kCounting;
    task.gradient_scale = 0;
    return;
  }
  // Without derivatives nothing is scaled before the end, and the end knows all
  // counts.
  task.phase = Task::Phase::kComputing;
  task.gradient_scale =
      has_derivatives
          ? kernels::GradientScale(segment, kernels::KnownDivisor(segment))
          : 0;
}

void BeginComputing(Task& task, const kernels::Totals& counts) {
  if (kernels::NeedsRowCounts(task.segment)) {
    UseRowFactors(task);
    task.gradient_scale = 1;
  } else {
    task.gradient_scale = kernels::GradientScale(
        task.segment, kernels::NormalizerOf(task.segment, counts));
  }
  task.blocks_left.store(kernels::BlockCount(task.segment),
                         std::memory_order_relaxed);
  task.phase = Task::Phase::kComputing;
}

uint64_t PreparedBytes(const kernels::Segment& segment) {
  const uint64_t blocks = kernels::BlockCount(segment);
  uint64_t bytes = blocks > 1 && !IsIndivisible(segment)
                       ? blocks * sizeof(kernels::BlockPartial)
                       : 0;
  if (!kernels::HasRows(segment.options)) return bytes;
  const uint64_t pieces = kernels::RowPieceCount(segment);
  bytes += pieces * sizeof(double);
  if (!kernels::NeedsRowCounts(segment)) return bytes;
  const uint64_t factors = kernels::RowCount(segment);
  return bytes + pieces * sizeof(kernels::RowCounts) + factors * sizeof(double);
}

Computed AnswerOf(const Task& task, const kernels::Totals& totals) {
  Computed computed;
  computed.totals = totals;
  computed.normalizer = kernels::NormalizerOf(task.segment, computed.totals);
  computed.batch_requests = task.batch_requests;
  computed.batch_elements = task.batch_elements;
  computed.started = task.started;
  if (kernels::HasRows(task.segment.options)) AddRows(task, computed);
  return computed;
}

Computed AnswerOf(const Task& task) {
  return AnswerOf(task, kernels::Combine(task.partials));
}

}  // namespace lossd::batching
