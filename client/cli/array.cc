#include "client/cli/array.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli/npy.h"

namespace lossd::cli {
namespace {

// Rounds to T once, and appends its bytes.
template <typename T>
void Append(double value, std::vector<std::byte>& bytes) {
  const T element = static_cast<T>(value);
  const auto* begin = reinterpret_cast<const std::byte*>(&element);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}

// Infinities and NaN are themselves in both types.
bool FitsFloat(double value) {
  return !std::isfinite(value) ||
         std::abs(value) <= double{std::numeric_limits<float>::max()};
}

}  // namespace

absl::StatusOr<Array> ParseNumbers(absl::string_view text, v1::DataType dtype) {
  Array array{.dtype = dtype};
  if (text.empty()) {
    array.shape = {0};
    return array;
  }
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    item = absl::StripAsciiWhitespace(item);
    double value = 0;
    if (!absl::SimpleAtod(item, &value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", item, "\" is not a number"));
    }
    if (dtype == v1::DATA_TYPE_FLOAT64) {
      Append<double>(value, array.bytes);
    } else if (FitsFloat(value)) {
      Append<float>(value, array.bytes);
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(item, " is too large for float32"));
    }
  }
  const size_t width = dtype == v1::DATA_TYPE_FLOAT64 ? 8 : 4;
  array.shape = {static_cast<int64_t>(array.bytes.size() / width)};
  return array;
}

absl::StatusOr<Array> ReadArgument(absl::string_view text, v1::DataType dtype) {
  if (absl::EndsWith(text, ".npy")) return ReadNpy(std::string(text));
  return ParseNumbers(text, dtype);
}

}  // namespace lossd::cli
