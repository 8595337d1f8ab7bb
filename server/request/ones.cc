#include "server/request/ones.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "server/base/status_macros.h"
#include "server/request/format.h"

namespace lossd::request {
namespace {

template <typename... Parts>
absl::Status Bad(absl::string_view field, int index, const Parts&... parts) {
  return absl::InvalidArgumentError(
      absl::StrCat("targets.ones.", field, "[", index, "]: ", parts...));
}

// Returns the product of all dimensions but the first.
uint64_t ColumnsOf(const Dims& dims) {
  uint64_t columns = 1;
  for (size_t k = 1; k < dims.size(); ++k) columns *= dims[k];
  return columns;
}

// On OK, row r has the columns row_splits[r] to row_splits[r + 1], and all of
// them exist.
absl::Status CheckRowSplits(const v1::SparseIndices& sparse, const Dims& dims) {
  const auto& splits = sparse.row_splits();
  if (static_cast<uint64_t>(splits.size()) != dims[0] + 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "targets.ones.row_splits: ", splits.size(), " values, but the ",
        dims[0], " rows of shape ", ShapeText(dims), " take ", dims[0] + 1));
  }
  if (splits[0] != 0) return Bad("row_splits", 0, splits[0], " is not 0");
  for (int r = 1; r < splits.size(); ++r) {
    if (splits[r] < splits[r - 1]) {
      return Bad("row_splits", r, splits[r], " is below row_splits[", r - 1,
                 "], ", splits[r - 1]);
    }
  }
  const int last = splits.size() - 1;
  if (splits[last] != sparse.columns_size()) {
    return Bad("row_splits", last, splits[last],
               " is not the number of columns, ", sparse.columns_size());
  }
  return absl::OkStatus();
}

absl::StatusOr<kernels::Ones> ReadList(const v1::SparseIndices& sparse,
                                       const Dims& dims,
                                       std::vector<uint64_t>* indices) {
  if (dims.empty()) {
    return absl::InvalidArgumentError(
        "targets.ones: the rows are the first dimension, and the shape [] has "
        "none");
  }
  RETURN_IF_ERROR(CheckRowSplits(sparse, dims));
  const uint64_t columns = ColumnsOf(dims);
  indices->clear();
  indices->reserve(static_cast<size_t>(sparse.columns_size()));
  for (int r = 0; r + 1 < sparse.row_splits_size(); ++r) {
    const int begin = static_cast<int>(sparse.row_splits(r));
    const int end = static_cast<int>(sparse.row_splits(r + 1));
    for (int k = begin; k < end; ++k) {
      const int64_t column = sparse.columns(k);
      if (column < 0 || static_cast<uint64_t>(column) >= columns) {
        return Bad("columns", k, column, " is not in [0, ", columns, ")");
      }
      if (k > begin && column <= sparse.columns(k - 1)) {
        return Bad("columns", k, column, " is not above columns[", k - 1, "], ",
                   sparse.columns(k - 1), ", of the same row ", r);
      }
      indices->push_back(static_cast<uint64_t>(r) * columns +
                         static_cast<uint64_t>(column));
    }
  }
  return kernels::Ones{.indices = *indices};
}

absl::StatusOr<kernels::Ones> ReadDiagonal(const v1::Identity& identity,
                                           const Dims& dims) {
  if (dims.size() != 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("targets.identity: the shape ", ShapeText(dims), " has ",
                     dims.size(), " dimensions, not 2"));
  }
  const uint64_t rows = dims[0];
  const uint64_t columns = dims[1];
  const bool above = identity.diagonal() >= 0;
  const uint64_t diagonal = static_cast<uint64_t>(identity.diagonal());
  // The rows or columns before the first one; unsigned negation is defined for
  // the least int64 too.
  const uint64_t skipped = above ? diagonal : -diagonal;
  if (skipped >= (above ? columns : rows)) return kernels::Ones();
  return kernels::Ones{
      .first = above ? skipped : skipped * columns,
      .stride = columns + 1,
      .count = above ? std::min(rows, columns - skipped)
                     : std::min(rows - skipped, columns),
  };
}

}  // namespace

absl::StatusOr<kernels::Ones> ReadOnes(const v1::Tensor& targets,
                                       const Dims& dims,
                                       std::vector<uint64_t>* indices) {
  return targets.has_ones() ? ReadList(targets.ones(), dims, indices)
                            : ReadDiagonal(targets.identity(), dims);
}

}  // namespace lossd::request
