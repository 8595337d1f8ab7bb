#include "client/cli/watch/activity_text.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "client/cli/watch/quantity.h"

namespace lossd::cli::watch {
namespace {

using Lines = std::vector<std::string>;

// Returns "LABEL VALUE  LABEL VALUE" of the values above 0.
std::string NonZero(const ByLabel& values) {
  std::string text;
  for (const auto& [label, value] : values) {
    if (value <= 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : "  ", label, " ",
                    CountText(value));
  }
  return text;
}

std::string Row(absl::string_view name, absl::string_view text) {
  return absl::StrFormat("%-15s %s", name, text);
}

std::string RateRow(absl::string_view name, const ByLabel& rates) {
  return Row(name, absl::StrFormat("%-9s %s", CountText(Total(rates)),
                                   NonZero(rates)));
}

std::string DistributionHead(absl::string_view title) {
  return absl::StrFormat("%-25s %10s %10s %10s %10s %10s", title, "per second",
                         "mean", "p50", "p90", "p99");
}

using TextOfNumber = std::string (*)(const std::optional<double>&);

// Returns the text of a percentile, or that of the lowest bound if it is below.
std::string PercentileText(const std::optional<double>& percentile,
                           const Distribution& of, TextOfNumber text_of) {
  const bool below = percentile && of.least && *percentile <= *of.least;
  return below ? absl::StrCat("<=", text_of(of.least)) : text_of(percentile);
}

// `text_of` makes the text of a mean or a percentile.
std::string DistributionRow(absl::string_view name, const Distribution& of,
                            TextOfNumber text_of) {
  return absl::StrFormat(
      "  %-23s %10s %10s %10s %10s %10s", name, CountText(of.per_second),
      text_of(of.mean), PercentileText(of.p50, of, text_of),
      PercentileText(of.p90, of, text_of), PercentileText(of.p99, of, text_of));
}

void AddDistributions(const Activity& a, Lines& lines) {
  constexpr TextOfNumber seconds = &SecondsText;
  constexpr TextOfNumber count = &CountText;
  lines.push_back(DistributionHead("time"));
  for (const auto& [method, of] : a.request_seconds) {
    // The other methods are rare, and no news while nobody calls them.
    if (of.per_second > 0 || method == "ComputeLoss") {
      lines.push_back(DistributionRow(method, of, seconds));
    }
  }
  lines.push_back(DistributionRow("in the queue", a.queue_seconds, seconds));
  for (const auto& [backend, of] : a.compute_seconds) {
    lines.push_back(
        DistributionRow(absl::StrCat("batch on ", backend), of, seconds));
  }
  lines.emplace_back();
  lines.push_back(DistributionHead("batches"));
  lines.push_back(DistributionRow("requests", a.batch_requests, count));
  lines.push_back(DistributionRow("elements", a.batch_elements, count));
}

std::string InflightText(const Activity& a) {
  return absl::StrCat(CountText(a.inflight_requests), " of ",
                      CountText(a.max_inflight_requests), " requests, ",
                      BytesText(a.inflight_bytes), " of ",
                      BytesText(a.max_inflight_bytes));
}

std::string QueueText(const Activity& a) {
  return absl::StrCat("depth ", CountText(a.queue_depth), ", saturation ",
                      CountText(a.saturation), ", ",
                      CountText(a.executors_busy), " of ",
                      CountText(a.executors), " executors busy");
}

std::string ConnectionsText(const Activity& a) {
  std::string text;
  for (const auto& [listener, count] : a.connections) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", CountText(count), " by ",
                    listener);
  }
  return text;
}

std::string MemoryText(const Activity& a) {
  std::string text = absl::StrCat(CountText(a.cpu_cores), " cores, ",
                                  BytesText(a.resident_bytes), " resident");
  if (a.shared_memory_bytes > 0) {
    absl::StrAppend(&text, ", ", BytesText(a.shared_memory_bytes), " shared");
  }
  if (a.lent_memory_bytes > 0) {
    absl::StrAppend(&text, ", ", BytesText(a.lent_memory_bytes), " lent");
  }
  return text;
}

std::string JobValueText(const std::string& column, double value) {
  return absl::EndsWith(column, "_per_second") ? CountText(value)
                                               : absl::StrFormat("%.3g", value);
}

// Returns the column's name as a person writes it.
std::string JobHeading(const std::string& column) {
  return absl::StrReplaceAll(column, {{"_per_second", "/s"}, {"_", " "}});
}

// A table with a row for each job and a column for each metric of any.
void AddJobs(const JobTable& jobs, Lines& lines) {
  if (jobs.empty()) return;
  std::set<std::string> columns;
  for (const auto& [job, values] : jobs) {
    for (const auto& [column, value] : values) columns.insert(column);
  }
  std::string head = absl::StrFormat("%-25s", "jobs");
  for (const std::string& column : columns) {
    absl::StrAppendFormat(&head, " %10s", JobHeading(column));
  }
  lines.emplace_back();
  lines.push_back(head);
  for (const auto& [job, values] : jobs) {
    std::string row = absl::StrFormat("  %-23s", job);
    for (const std::string& column : columns) {
      const auto value = values.find(column);
      const size_t width = std::max<size_t>(JobHeading(column).size(), 10);
      absl::StrAppendFormat(
          &row, " %*s", static_cast<int>(width),
          value == values.end() ? "-" : JobValueText(column, value->second));
    }
    lines.push_back(row);
  }
}

std::string StateOf(const Activity& a) {
  return absl::StrCat(a.serving ? "serving" : "NOT SERVING",
                      a.restarted ? ", restarted" : "");
}

}  // namespace

std::string ActivityLine(const Activity& a) {
  const auto calls = a.request_seconds.find("ComputeLoss");
  const Distribution time =
      calls == a.request_seconds.end() ? Distribution() : calls->second;
  const double good = [&a] {
    const auto found = a.requests.find("OK");
    return found == a.requests.end() ? 0 : found->second;
  }();
  return absl::StrFormat(
      "%s %s  %s requests/s (%s not OK)  %s elements/s  p50 %s  p99 %s  %s "
      "requests/batch  queue %s  in flight %s, %s",
      absl::FormatTime("%H:%M:%S", a.time, absl::LocalTimeZone()), StateOf(a),
      CountText(Total(a.requests)), CountText(Total(a.requests) - good),
      CountText(Total(a.elements)),
      PercentileText(time.p50, time, &SecondsText),
      PercentileText(time.p99, time, &SecondsText),
      CountText(a.batch_requests.mean), CountText(a.queue_depth),
      CountText(a.inflight_requests), BytesText(a.inflight_bytes));
}

Lines ActivityScreen(const Activity& a) {
  Lines lines;
  lines.push_back(absl::StrCat(
      StateOf(a), "   version ", a.version, " on ", a.backend, "   up ",
      absl::FormatDuration(absl::Trunc(a.uptime, absl::Seconds(1)))));
  lines.emplace_back();
  lines.push_back(RateRow("requests/s", a.requests));
  lines.push_back(RateRow("refused/s", a.refused));
  lines.push_back(RateRow("elements/s", a.elements));
  lines.push_back(
      Row("bytes/s", absl::StrCat(BytesText(a.received_bytes), " received, ",
                                  BytesText(a.sent_bytes), " sent")));
  if (a.device_errors > 0) {
    lines.push_back(Row("device errors/s", CountText(a.device_errors)));
  }
  lines.emplace_back();
  AddDistributions(a, lines);
  lines.emplace_back();
  lines.push_back(Row("queue", QueueText(a)));
  lines.push_back(Row("in flight", InflightText(a)));
  lines.push_back(Row("connections", ConnectionsText(a)));
  lines.push_back(Row("process", MemoryText(a)));
  AddJobs(a.jobs, lines);
  return lines;
}

}  // namespace lossd::cli::watch
