// Rows: the losses of Reduction::kRows and kMeanOfRows, each of which has a sum
// and a divisor of its own.
//
// A row is a run of Segment::row_elements elements. Blocks cut rows, and rows
// cut blocks: the elements that a block and a row have in common are a *piece*.
// A piece is added up by whoever computes the block, in an order that depends
// on places within the block alone, and the pieces of a row are then added in
// their order. Hence a row's bits do not depend on how the blocks were shared
// among threads, batches and backends (D73).
//
// All functions are thread-safe.
#ifndef LOSSD_KERNELS_ROWS_H_
#define LOSSD_KERNELS_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/sigmoid_loss.h"

namespace lossd::kernels {

// Returns the rows that a segment has elements of.
inline uint64_t RowCount(const Segment& segment) {
  const uint64_t length = segment.row_elements;
  if (length == 0) return 0;
  return (segment.first_in_row + segment.element_count + length - 1) / length;
}

// Returns the rows whose last element a segment has.
inline uint64_t CompletedRows(const Segment& segment) {
  const uint64_t length = segment.row_elements;
  if (length == 0) return 0;
  return (segment.first_in_row + segment.element_count) / length;
}

// The part of a row that lies in a block: elements begin to end, counted from
// the block's first one.
struct RowPiece {
  uint64_t number;  // the row's plus the block's, in the segment
  uint64_t begin;
  uint64_t end;
  bool ends_row;
};

// Returns the size of Segment::row_sums and row_counts. A number may have no
// piece; nothing is written there.
inline uint64_t RowPieceCount(const Segment& segment) {
  return HasRows(segment.options) ? RowCount(segment) + BlockCount(segment) : 0;
}

// Calls `use` for each RowPiece of a block, in order.
template <class Use>
void ForEachPiece(const Segment& segment, uint64_t block, Use use) {
  const uint64_t length = segment.row_elements;
  const uint64_t first = block * kBlockElements;
  const uint64_t rest = segment.element_count - first;
  const uint64_t n = rest < kBlockElements ? rest : kBlockElements;
  uint64_t row = (segment.first_in_row + first) / length;
  uint64_t left = length - (segment.first_in_row + first) % length;
  for (uint64_t begin = 0; begin < n; ++row) {
    const bool ends = left <= n - begin;
    const uint64_t end = ends ? begin + left : n;
    use(RowPiece{row + block, begin, end, ends});
    begin = end;
    left = length;
  }
}

// Returns true if the divisor of a row, and with it the gradient's scale, is
// known only after the targets or weights were counted.
bool NeedsRowCounts(const Segment& segment);

// Returns the divisor of every derivative, which is not known before if
// NeedsCounts() or NeedsRowCounts().
double KnownDivisor(const Segment& segment);

// The sum of a row's pieces.
struct RowTotals {
  double loss_sum = 0;
  double weight_sum = 0;
  uint64_t valid_count = 0;
  uint64_t nonzero_weight_count = 0;
};

// Returns the divisor of a row's loss; NormalizerOf() does this for a segment.
double RowNormalizer(const Segment& segment, const RowTotals& totals);

// Returns the loss of a row: its sum times loss_weight over its divisor, or 0
// where the divisor is 0. A NaN is the canonical one.
double RowLoss(const Segment& segment, const RowTotals& totals);

// Adds up the pieces of rows. The segments of one tensor are added in their
// order. Not thread-safe.
class RowAccumulator {
 public:
  // Adds a computed or counted segment. Calls `use` with the RowTotals of each
  // row whose last element it has, in their order.
  template <class Use>
  void Add(const Segment& segment, Use use) {
    const uint64_t blocks = BlockCount(segment);
    for (uint64_t block = 0; block < blocks; ++block) {
      ForEachPiece(segment, block, [&](const RowPiece& piece) {
        AddPiece(segment, piece.number, piece.end - piece.begin);
        if (piece.ends_row) use(Take());
      });
    }
  }

 private:
  void AddPiece(const Segment& segment, uint64_t piece, uint64_t elements);
  RowTotals Take();

  RowTotals row_;
  CompensatedSum sum_;
};

// The mean of rows, before loss_weight.
class MeanOfRows {
 public:
  // Adds a row; one without valid elements does not count.
  void Add(const Segment& segment, const RowTotals& totals);
  // Returns the sum of the rows' losses, and the number of rows that count.
  double sum() const { return sum_.Sum(); }
  uint64_t rows() const { return rows_; }

 private:
  CompensatedSum sum_;
  uint64_t rows_ = 0;
};

// Writes the losses of rows as Segment::losses_type, one after the other, to
// memory that has room for them. Borrows the segment. Not thread-safe.
class RowLossWriter {
 public:
  RowLossWriter(const Segment* segment, std::byte* to)
      : segment_(segment), to_(to) {}
  void Add(const RowTotals& totals);

 private:
  const Segment* const segment_;
  std::byte* to_;
};

// The gradient's factors, one for each row of a counted segment.
struct RowFactors {
  // loss_weight over the row's divisor and, with kMeanOfRows, over the number
  // of rows that have valid elements; times the row's upstream gradient.
  std::vector<double> factors;
  // The FaultMark() of the first row whose upstream gradient is refused.
  uint64_t first_operand_fault = kNoIndex;
};
// The upstream gradient, if present, has an element for each row and is not
// on_device.
RowFactors FactorsOf(const Segment& segment);

}  // namespace lossd::kernels

#endif  // LOSSD_KERNELS_ROWS_H_
