#include "client/cli/watch/quantity.h"

#include <array>
#include <cmath>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"

namespace lossd::cli::watch {
namespace {

// Returns three digits: 1.23, 12.3 or 123.
std::string ThreeDigits(double number) {
  const double size = std::abs(number);
  if (size == 0) return "0";
  return absl::StrFormat("%.*f",
                         size < 9.995   ? 2
                         : size < 99.95 ? 1
                                        : 0,
                         number);
}

// Returns the number in the largest unit of which there is at least one, or in
// the first one. Each unit is `step` of the one before it.
std::string InUnits(double number, double step,
                    absl::Span<const char* const> units) {
  size_t unit = 0;
  while (unit + 1 < units.size() && std::abs(number) >= step * 0.9995) {
    number /= step;
    ++unit;
  }
  return absl::StrCat(ThreeDigits(number), units[unit]);
}

}  // namespace

std::string CountText(double count) {
  if (std::abs(count) < 1e4 && count == std::floor(count)) {
    return absl::StrFormat("%.0f", count);
  }
  return InUnits(count, 1000, {"", "k", "M", "G", "T"});
}

std::string BytesText(double bytes) {
  return InUnits(bytes, 1024, {" B", " KiB", " MiB", " GiB", " TiB"});
}

std::string SecondsText(double seconds) {
  return InUnits(seconds * 1e6, 1000, {" us", " ms", " s"});
}

std::string CountText(const std::optional<double>& count) {
  return count.has_value() ? CountText(*count) : "-";
}

std::string SecondsText(const std::optional<double>& seconds) {
  return seconds.has_value() ? SecondsText(*seconds) : "-";
}

}  // namespace lossd::cli::watch
