#include "client/cli/tensor_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lossd::cli {
namespace {

// One pass, in float64.
template <typename T>
TensorStatistics Summarize(std::span<const T> elements) {
  TensorStatistics result;
  result.elements = static_cast<int64_t>(elements.size());
  double min = std::numeric_limits<double>::infinity();
  double max = -min;
  double sum = 0;
  double squares = 0;
  for (const T element : elements) {
    const double value = element;
    if (std::isnan(value)) {
      ++result.nans;
      continue;
    }
    min = std::min(min, value);
    max = std::max(max, value);
    sum += value;
    squares += value * value;
  }
  const int64_t counted = result.elements - result.nans;
  if (counted == 0) return result;
  result.min = min;
  result.max = max;
  result.mean = sum / static_cast<double>(counted);
  result.l2 = std::sqrt(squares);
  return result;
}

template <typename T>
absl::StatusOr<TensorStatistics> SummarizeAs(client::ReceivedTensor& tensor) {
  const absl::StatusOr<std::span<const T>> elements = tensor.As<T>();
  if (!elements.ok()) return elements.status();
  return Summarize(*elements);
}

}  // namespace

absl::StatusOr<TensorStatistics> StatisticsOf(client::ReceivedTensor& tensor) {
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT32)
    return SummarizeAs<float>(tensor);
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT64) {
    return SummarizeAs<double>(tensor);
  }
  return absl::UnimplementedError(
      absl::StrCat("no statistics of ", v1::DataType_Name(tensor.dtype())));
}

}  // namespace lossd::cli
