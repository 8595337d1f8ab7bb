#include "client/cli/tensor_statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/half.h"

namespace lossd::cli {
namespace {

// One pass, in float64. `value_of` makes an element a double.
template <typename T, typename ValueOf>
TensorStatistics Summarize(std::span<const T> elements, ValueOf value_of) {
  TensorStatistics result;
  result.elements = static_cast<int64_t>(elements.size());
  double min = std::numeric_limits<double>::infinity();
  double max = -min;
  double sum = 0;
  double squares = 0;
  for (const T element : elements) {
    const double value = value_of(element);
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

// All elements of a tensor of any floating-point type, for `read(elements,
// value_of)` to go through.
template <typename Result, typename Read>
absl::StatusOr<Result> ReadElements(client::ReceivedTensor& tensor, Read read) {
  const auto widen = [](auto element) { return double{element}; };
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT32) {
    return read(*tensor.As<float>(), widen);
  }
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT64) {
    return read(*tensor.As<double>(), widen);
  }
  if (!client::IsHalf(tensor.dtype())) {
    return absl::UnimplementedError(
        absl::StrCat("cannot show ", v1::DataType_Name(tensor.dtype())));
  }
  const std::span<const std::byte> bytes = tensor.Contiguous();
  const std::span halves(reinterpret_cast<const uint16_t*>(bytes.data()),
                         bytes.size() / sizeof(uint16_t));
  return read(halves, [dtype = tensor.dtype()](uint16_t half) {
    return client::HalfToDouble(dtype, half);
  });
}

}  // namespace

absl::StatusOr<TensorStatistics> StatisticsOf(client::ReceivedTensor& tensor) {
  return ReadElements<TensorStatistics>(tensor,
                                        [](auto elements, auto value_of) {
                                          return Summarize(elements, value_of);
                                        });
}

absl::StatusOr<std::vector<double>> ElementsOf(client::ReceivedTensor& tensor) {
  return ReadElements<std::vector<double>>(tensor, [](auto elements,
                                                      auto value_of) {
    std::vector<double> values(elements.size());
    std::transform(elements.begin(), elements.end(), values.begin(), value_of);
    return values;
  });
}

}  // namespace lossd::cli
