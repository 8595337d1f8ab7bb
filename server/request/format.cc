#include "server/request/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace lossd::request {

std::string NumberText(double value) {
  if (std::isnan(value)) return "NaN";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return std::string(text, end);
}

std::string ShapeText(std::span<const uint64_t> dims) {
  constexpr size_t kShown = 16;
  const auto shown = dims.first(std::min(dims.size(), kShown));
  return absl::StrCat("[", absl::StrJoin(shown, ", "),
                      dims.size() > kShown ? ", ..." : "", "]");
}

}  // namespace lossd::request
