// Formats values for the messages of statuses.
#ifndef LOSSD_SERVER_REQUEST_FORMAT_H_
#define LOSSD_SERVER_REQUEST_FORMAT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/strings/string_view.h"

namespace lossd::request {

// Abseil's string_view is a type of its own where Abseil was built as C++14.
inline absl::string_view View(std::string_view text) {
  return absl::string_view(text.data(), text.size());
}

// Returns the shortest text that reads back as `value`, or "NaN", "inf",
// "-inf".
std::string NumberText(double value);

// Returns text such as "[2, 3]"; after 16 dimensions it ends in "...".
std::string ShapeText(std::span<const uint64_t> dims);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_FORMAT_H_
