#include "server/observability/status_page.h"

#include <cmath>
#include <cstdint>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace lossd::observability {
namespace {

std::string Text(const std::string& value) { return value; }
std::string Text(int64_t value) { return absl::StrCat(value); }
std::string Text(double value) { return absl::StrCat(value); }

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

std::string Row(const LogField& fact) {
  const std::string value =
      std::visit([](const auto& v) { return Text(v); }, fact.value);
  return absl::StrCat("<tr><td>", std::string(fact.name), "</td><td>",
                      Escaped(value), "</td></tr>\n");
}

std::string TableCell(const std::string& text) {
  return absl::StrCat("<td>", Escaped(text), "</td>");
}

// Return the mean, or the root of the mean square, in three digits, or a dash
// where there is none.
std::string Quotient(double sum, int64_t count) {
  return count == 0 ? "-"
                    : absl::StrFormat("%.3g", sum / static_cast<double>(count));
}
std::string Root(double squares, int64_t count) {
  return count == 0
             ? "-"
             : absl::StrFormat("%.3g",
                               std::sqrt(squares / static_cast<double>(count)));
}

std::string JobRow(const JobTotals& job) {
  const auto& counts = job.counts;
  const auto share = [&](JobTotals::Count count) {
    return Quotient(static_cast<double>(counts[count]),
                    counts[JobTotals::kSampled]);
  };
  const double loss =
      job.sums[JobTotals::kLoss] - job.sums[JobTotals::kNegativeLoss];
  return absl::StrCat(
      "<tr>", TableCell(job.name),
      TableCell(Text(counts[JobTotals::kRequests])),
      TableCell(Text(counts[JobTotals::kElements])),
      TableCell(Quotient(loss, counts[JobTotals::kLossElements])),
      TableCell(Root(job.sums[JobTotals::kGradientSquares],
                     counts[JobTotals::kGradients])),
      TableCell(share(JobTotals::kPositives)),
      TableCell(share(JobTotals::kSaturated)),
      TableCell(Text(counts[JobTotals::kNanLogits])), "</tr>\n");
}

std::string JobTable(const std::vector<JobTotals>& jobs) {
  if (jobs.empty()) return "";
  std::string table =
      "<h2>Training jobs</h2>\n<p>Since they began here.</p>\n<table>\n"
      "<tr><th>job</th><th>requests</th><th>elements</th><th>loss</th>"
      "<th>gradient norm</th><th>positives</th><th>saturated</th>"
      "<th>NaN logits</th></tr>\n";
  for (const JobTotals& job : jobs) absl::StrAppend(&table, JobRow(job));
  return absl::StrCat(table, "</table>\n");
}

}  // namespace

std::string StatusPage(bool serving, const LogFields& facts,
                       const std::vector<JobTotals>& jobs) {
  std::string rows;
  for (const LogField& fact : facts) absl::StrAppend(&rows, Row(fact));
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<title>lossd</title></head><body>\n<h1>lossd</h1>\n<p>",
      serving ? "serving" : "not serving",
      "</p>\n<p><a href=\"/metrics\">/metrics</a> "
      "<a href=\"/healthz\">/healthz</a></p>\n<table>\n",
      rows, "</table>\n", JobTable(jobs), "</body></html>\n");
}

}  // namespace lossd::observability
