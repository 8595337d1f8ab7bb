#include "client/cli/result_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cli/tensor_statistics.h"
#include "nlohmann/json.hpp"

namespace lossd::cli {
namespace {

using Json = nlohmann::ordered_json;

Json Number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return value;
}

// The number with the fewest digits that reads as `value`, a float32: JSON is
// written with all digits of a double, most of which say nothing about it.
double Shortest(double value) {
  if (!std::isfinite(value)) return value;
  char text[32];
  const char* end =
      std::to_chars(text, text + sizeof(text), static_cast<float>(value)).ptr;
  double shortest = 0;
  std::from_chars(text, end, shortest);
  return shortest;
}

// Shape and statistics; the elements themselves are for --gradient_out.
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

// "[1, 2, 3]"; of a long list the first and the last elements.
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

// "a.b" for nested objects: one row for each leaf.
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

absl::StatusOr<Json> ResultJson(client::LossResult& result,
                                absl::Duration round_trip) {
  Json json;
  json["loss"] = Number(result.loss);
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
  const v1::Execution& execution = result.execution;
  json["backend"] = execution.backend();
  json["batch_requests"] = execution.batch_requests();
  json["queue_us"] = Microseconds(execution.queue_time());
  json["compute_us"] = Microseconds(execution.compute_time());
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
