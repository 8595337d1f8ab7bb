#include "client/cli/watch/activity_json.h"

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace lossd::cli::watch {
namespace {

using Json = nlohmann::ordered_json;

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", time, absl::UTCTimeZone());
}

Json NumberOrNull(const std::optional<double>& number) {
  return number.has_value() ? Json(*number) : Json(nullptr);
}

Json DistributionJson(const Distribution& distribution) {
  return {{"per_second", distribution.per_second},
          {"mean", NumberOrNull(distribution.mean)},
          {"p50", NumberOrNull(distribution.p50)},
          {"p90", NumberOrNull(distribution.p90)},
          {"p99", NumberOrNull(distribution.p99)}};
}

Json DistributionsJson(const Distributions& distributions) {
  Json all = Json::object();
  for (const auto& [label, of] : distributions) {
    all[label] = DistributionJson(of);
  }
  return all;
}

// Reasons may quote bytes of an answer, which need not be UTF-8.
void Print(const Json& object) {
  std::puts(
      object.dump(-1, ' ', false, Json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

}  // namespace

Json ActivityJson(const Activity& a) {
  return {
      {"time", TimeText(a.time)},
      {"seconds", absl::ToDoubleSeconds(a.interval)},
      {"state", a.serving ? "serving" : "not serving"},
      {"restarted", a.restarted},
      {"version", a.version},
      {"backend", a.backend},
      {"uptime_seconds", absl::ToDoubleSeconds(a.uptime)},
      {"requests_per_second", Total(a.requests)},
      {"requests_per_second_by_code", a.requests},
      {"refused_per_second_by_reason", a.refused},
      {"elements_per_second", Total(a.elements)},
      {"elements_per_second_by_loss", a.elements},
      {"received_bytes_per_second", a.received_bytes},
      {"sent_bytes_per_second", a.sent_bytes},
      {"device_errors_per_second", a.device_errors},
      {"request_seconds", DistributionsJson(a.request_seconds)},
      {"queue_seconds", DistributionJson(a.queue_seconds)},
      {"compute_seconds", DistributionsJson(a.compute_seconds)},
      {"batch_requests", DistributionJson(a.batch_requests)},
      {"batch_elements", DistributionJson(a.batch_elements)},
      {"saturation", NumberOrNull(a.saturation)},
      {"queue_depth", a.queue_depth},
      {"executors_busy", a.executors_busy},
      {"executors", a.executors},
      {"inflight_requests", a.inflight_requests},
      {"max_inflight_requests", a.max_inflight_requests},
      {"inflight_bytes", a.inflight_bytes},
      {"max_inflight_bytes", a.max_inflight_bytes},
      {"shared_memory_bytes", a.shared_memory_bytes},
      {"lent_memory_bytes", a.lent_memory_bytes},
      {"resident_bytes", a.resident_bytes},
      {"cpu_cores", a.cpu_cores},
      {"connections", a.connections},
      {"jobs", a.jobs},
  };
}

Json AbsenceJson(absl::Time time, const absl::Status& status) {
  return {{"time", TimeText(time)},
          {"state", "away"},
          {"error", std::string(status.message())}};
}

void JsonLines::Show(const Activity& activity) {
  Print(ActivityJson(activity));
}

void JsonLines::ShowAbsence(absl::Time time, const absl::Status& status) {
  Print(AbsenceJson(time, status));
}

}  // namespace lossd::cli::watch
