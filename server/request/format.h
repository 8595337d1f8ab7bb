// How values are written in the messages of statuses.
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

// The shortest text that reads back as `value`; "NaN", "inf", "-inf".
std::string NumberText(double value);

// "[2, 3]"; long shapes are cut.
std::string ShapeText(std::span<const uint64_t> dims);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_FORMAT_H_
