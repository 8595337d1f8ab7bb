#include "bench/load/report.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace lossd::bench {
namespace {

using Json = nlohmann::ordered_json;

// Builds the report in the order in which it is printed.
Json Build(const LoadReport& report, const ReportScale& scale) {
  const double seconds = absl::ToDoubleSeconds(report.elapsed);
  const double rate =
      seconds > 0 ? static_cast<double>(report.succeeded) / seconds : 0;
  const auto percentile = [&](double fraction) {
    return absl::ToDoubleMicroseconds(report.latency.Percentile(fraction));
  };
  Json json;
  json["requests"] = report.succeeded;
  json["in_time"] = report.in_time;
  json["unsent"] = report.unsent;
  json["seconds"] = seconds;
  json["requests_per_second"] = rate;
  json["elements_per_second"] = rate * static_cast<double>(scale.elements);
  json["bytes_per_second"] =
      rate * static_cast<double>(scale.request_bytes + report.reply_bytes);
  json["request_bytes"] = scale.request_bytes;
  json["reply_bytes"] = report.reply_bytes;
  json["latency_us"] = {
      {"p50", percentile(0.5)},
      {"p90", percentile(0.9)},
      {"p99", percentile(0.99)},
      {"p99.9", percentile(0.999)},
      {"max", absl::ToDoubleMicroseconds(report.latency.max())}};
  json["errors"] = Json::object();
  for (const auto& [code, count] : report.errors) json["errors"][code] = count;
  return json;
}

}  // namespace

std::string ReportJson(const LoadReport& report, const ReportScale& scale) {
  return Build(report, scale).dump(2) + "\n";
}

std::string ReportTable(const LoadReport& report, const ReportScale& scale) {
  const Json json = Build(report, scale);
  std::string text;
  for (const auto& [key, value] : json.items()) {
    if (value.is_object()) {
      for (const auto& [inner, number] : value.items()) {
        absl::StrAppendFormat(&text, "%-20s  %16.1f\n",
                              absl::StrCat(key, ".", inner),
                              number.get<double>());
      }
    } else {
      absl::StrAppendFormat(&text, "%-20s  %16.1f\n", key, value.get<double>());
    }
  }
  return text;
}

}  // namespace lossd::bench
