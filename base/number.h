// Numbers in text.
#ifndef LOSSD_BASE_NUMBER_H_
#define LOSSD_BASE_NUMBER_H_

#include <cmath>

#include "absl/strings/string_view.h"

namespace lossd {

// Returns true for a number such as 1e400, which is beyond every float64 and
// which Abseil reads as infinity. An infinity that is meant has no digits.
inline bool IsBeyondFloat64(absl::string_view text, double read) {
  return std::isinf(read) &&
         text.find_first_of("0123456789") != absl::string_view::npos;
}

}  // namespace lossd

#endif  // LOSSD_BASE_NUMBER_H_
