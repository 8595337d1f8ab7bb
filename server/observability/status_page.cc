#include "server/observability/status_page.h"

#include <variant>

#include "absl/strings/str_cat.h"
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

}  // namespace

std::string StatusPage(bool serving, const LogFields& facts) {
  std::string rows;
  for (const LogField& fact : facts) absl::StrAppend(&rows, Row(fact));
  return absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<title>lossd</title></head><body>\n<h1>lossd</h1>\n<p>",
      serving ? "serving" : "not serving",
      "</p>\n<p><a href=\"/metrics\">/metrics</a> "
      "<a href=\"/healthz\">/healthz</a></p>\n<table>\n",
      rows, "</table>\n</body></html>\n");
}

}  // namespace lossd::observability
