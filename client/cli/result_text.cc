#include "client/cli/result_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cpp/tensor/float8.h"
#include "client/cpp/tensor/half.h"

namespace lossd::cli {
namespace {

using Json = nlohmann::ordered_json;

// Computes the statistics in one pass, in float64. `value_of` makes an element
// a double.
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

// Calls `read(elements, value_of)` with all elements of a tensor of any
// floating-point type. UNIMPLEMENTED for other types.
template <typename Result, typename Read>
absl::StatusOr<Result> ReadElements(client::ReceivedTensor& tensor, Read read) {
  const auto widen = [](auto element) { return double{element}; };
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT32) {
    return read(*tensor.As<float>(), widen);
  }
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT64) {
    return read(*tensor.As<double>(), widen);
  }
  const std::span<const std::byte> bytes = tensor.Contiguous();
  if (client::IsFloat8(tensor.dtype())) {
    const std::span float8s(reinterpret_cast<const uint8_t*>(bytes.data()),
                            bytes.size());
    return read(float8s, [dtype = tensor.dtype()](uint8_t bits) {
      return client::Float8ToDouble(dtype, bits);
    });
  }
  if (!client::IsHalf(tensor.dtype())) {
    return absl::UnimplementedError(
        absl::StrCat("cannot show ", v1::DataType_Name(tensor.dtype())));
  }
  const std::span halves(reinterpret_cast<const uint16_t*>(bytes.data()),
                         bytes.size() / sizeof(uint16_t));
  return read(halves, [dtype = tensor.dtype()](uint16_t half) {
    return client::HalfToDouble(dtype, half);
  });
}

// Returns all elements in row-major order, exactly.
absl::StatusOr<std::vector<double>> ElementsOf(client::ReceivedTensor& tensor) {
  return ReadElements<std::vector<double>>(tensor, [](auto elements,
                                                      auto value_of) {
    std::vector<double> values(elements.size());
    std::transform(elements.begin(), elements.end(), values.begin(), value_of);
    return values;
  });
}

Json Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

// Returns the number with the fewest digits that reads as `value`, a float32.
// JSON is written with all digits of a double, most of which are noise here.
double Shortest(double value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  const char* end =
      std::to_chars(text, text + sizeof(text), static_cast<float>(value)).ptr;
  double shortest = 0;
  std::from_chars(text, end, shortest);
  return shortest;
}

// Returns shape and statistics without the elements, which may be many.
absl::StatusOr<Json> TensorJson(client::ReceivedTensor& tensor) {
  const absl::StatusOr<TensorStatistics> statistics = StatisticsOf(tensor);
  if (!statistics.ok()) return statistics.status();
  Json json;
  json["shape"] =
      std::vector<int64_t>(tensor.shape().begin(), tensor.shape().end());
  json["min"] = Number(statistics->min);
  json["max"] = Number(statistics->max);
  json["mean"] = Number(statistics->mean);
  json["l2"] = Number(statistics->l2);
  json["nans"] = statistics->nans;
  return json;
}

double Microseconds(const google::protobuf::Duration& duration) {
  return static_cast<double>(duration.seconds()) * 1e6 +
         static_cast<double>(duration.nanos()) / 1e3;
}

// Returns a list as "[1, 2, 3]". A long list is cut to its first and last
// elements.
std::string ListText(const Json& list) {
  constexpr size_t kEnd = 4;
  std::string text;
  for (size_t i = 0; i < list.size(); ++i) {
    if (i > 0) absl::StrAppend(&text, ", ");
    if (list.size() > 2 * kEnd && i == kEnd) {
      absl::StrAppend(&text, "..., ");
      i = list.size() - kEnd;
    }
    absl::StrAppend(&text, list[i].is_string() ? list[i].get<std::string>()
                                               : list[i].dump());
  }
  return absl::StrCat("[", text, "]");
}

// Appends a row for each leaf; a nested one is named "outer.inner".
void CollectRows(const std::string& prefix, const Json& object,
                 std::vector<std::pair<std::string, std::string>>& rows) {
  for (const auto& [key, value] : object.items()) {
    const std::string name =
        prefix.empty() ? key : absl::StrCat(prefix, ".", key);
    if (value.is_object()) {
      CollectRows(name, value, rows);
    } else if (value.is_string()) {
      rows.emplace_back(name, value.get<std::string>());
    } else if (value.is_array()) {
      rows.emplace_back(name, ListText(value));
    } else {
      rows.emplace_back(name, value.dump());
    }
  }
}

}  // namespace

absl::StatusOr<TensorStatistics> StatisticsOf(client::ReceivedTensor& tensor) {
  return ReadElements<TensorStatistics>(tensor,
                                        [](auto elements, auto value_of) {
                                          return Summarize(elements, value_of);
                                        });
}

absl::StatusOr<Json> ResultJson(client::LossResult& result,
                                absl::Duration round_trip) {
  Json json;
  // Losses that are not reduced have no sum.
  if (!result.losses.has_value()) json["loss"] = Number(result.loss);
  json["normalizer"] = Number(result.normalizer);
  json["valid_count"] = result.valid_count;
  json["nan_count"] = result.nan_count;
  if (!result.request_id.empty()) json["request_id"] = result.request_id;
  if (result.losses.has_value()) {
    absl::StatusOr<Json> losses = TensorJson(*result.losses);
    if (!losses.ok()) return losses.status();
    json["losses"] = *std::move(losses);
  }
  if (result.gradient.has_value()) {
    absl::StatusOr<Json> gradient = TensorJson(*result.gradient);
    if (!gradient.ok()) return gradient.status();
    json["gradient"] = *std::move(gradient);
  }
  if (result.second_derivative.has_value()) {
    absl::StatusOr<Json> second = TensorJson(*result.second_derivative);
    if (!second.ok()) return second.status();
    json["second_derivative"] = *std::move(second);
  }
  const v1::Execution& execution = result.execution;
  json["backend"] = execution.backend();
  // A stream is part of many batches, and the server measures none of them.
  if (execution.batch_requests() > 0) {
    json["batch_requests"] = execution.batch_requests();
    json["queue_us"] = Microseconds(execution.queue_time());
    json["compute_us"] = Microseconds(execution.compute_time());
  }
  json["round_trip_us"] = absl::ToDoubleMicroseconds(round_trip);
  return json;
}

absl::StatusOr<Json> ElementsJson(client::ReceivedTensor& tensor) {
  const absl::StatusOr<std::vector<double>> elements = ElementsOf(tensor);
  if (!elements.ok()) return elements.status();
  const bool wide = tensor.dtype() == v1::DATA_TYPE_FLOAT64;
  Json json = Json::array();
  for (const double element : *elements) {
    json.push_back(Number(wide ? element : Shortest(element)));
  }
  return json;
}

std::string Table(const Json& object) {
  std::vector<std::pair<std::string, std::string>> rows;
  CollectRows("", object, rows);
  size_t width = 0;
  for (const auto& [name, value] : rows) width = std::max(width, name.size());
  std::string text;
  for (const auto& [name, value] : rows) {
    absl::StrAppendFormat(&text, "%-*s  %s\n", static_cast<int>(width), name,
                          value);
  }
  return text;
}

}  // namespace lossd::cli
