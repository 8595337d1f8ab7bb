#include "server/observability/status_page.h"

#include <array>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "server/observability/page_files.h"

namespace lossd::observability {
namespace {

std::string Text(const std::string& value) { return value; }
std::string Text(int64_t value) { return absl::StrCat(value); }
std::string Text(double value) { return absl::StrCat(value); }

std::string Escaped(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}});
}

// Returns the number in the largest binary unit of which there is one.
std::string InBinaryUnits(int64_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto number = static_cast<double>(bytes);
  size_t unit = 0;
  for (; number >= 1024 && unit + 1 < kUnits.size(); ++unit) number /= 1024;
  return absl::StrFormat("%.4g %s", number, kUnits[unit]);
}

std::string TextOf(const LogField& fact) {
  std::string text =
      std::visit([](const auto& value) { return Text(value); }, fact.value);
  const auto* bytes = std::get_if<int64_t>(&fact.value);
  if (bytes == nullptr || !fact.name.ends_with("_bytes")) return text;
  return absl::StrCat(text, " (", InBinaryUnits(*bytes), ")");
}

std::string Row(const LogField& fact) {
  const std::string text = TextOf(fact);
  return absl::StrCat("<tr><th scope=\"row\">", std::string(fact.name),
                      "</th><td>", text.empty() ? "not set" : Escaped(text),
                      "</td></tr>\n");
}

std::string ContentType(std::string_view name) {
  return name.ends_with(".css") ? "text/css; charset=utf-8"
                                : "text/javascript; charset=utf-8";
}

}  // namespace

std::string StatusPage(bool serving, const LogFields& facts) {
  std::string rows;
  for (const LogField& fact : facts) absl::StrAppend(&rows, Row(fact));
  const std::string page(IndexPage());
  return absl::StrReplaceAll(
      page, {{"{{health}}", serving ? "serving" : "not serving"},
             {"{{health_class}}", serving ? "serving" : "down"},
             {"{{facts}}", rows}});
}

void AddPageFiles(HttpPages& pages) {
  for (const PageFile& file : PageFiles()) {
    HttpAnswer answer = {.content_type = ContentType(file.name),
                         .body = std::string(file.text)};
    pages["/page/" + std::string(file.name)] =
        [answer = std::move(answer)](const HttpRequest&) { return answer; };
  }
}

}  // namespace lossd::observability
