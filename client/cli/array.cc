#include "client/cli/array.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/data_type.h"
#include "base/number.h"
#include "client/cli/array_file.h"
#include "client/cpp/tensor/float8.h"
#include "client/cpp/tensor/half.h"

namespace lossd::cli {
namespace {

template <typename T>
void Append(T element, std::vector<std::byte>& bytes) {
  const auto* begin = reinterpret_cast<const std::byte*>(&element);
  bytes.insert(bytes.end(), begin, begin + sizeof(T));
}

// Returns true if float32 can hold the value, as it can infinities and NaN.
bool FitsFloat(double value) {
  return !std::isfinite(value) ||
         std::abs(value) <= double{std::numeric_limits<float>::max()};
}

// Appends the value as an element of the type. Returns false, and appends
// nothing, if the type cannot hold it.
bool AppendAs(v1::DataType dtype, double value, std::vector<std::byte>& bytes) {
  if (client::IsFloat8(dtype)) {
    const std::optional<uint8_t> bits = client::DoubleToFloat8(dtype, value);
    if (bits.has_value()) Append(*bits, bytes);
    return bits.has_value();
  }
  if (client::IsHalf(dtype)) {
    const std::optional<uint16_t> half = client::DoubleToHalf(dtype, value);
    if (half.has_value()) Append(*half, bytes);
    return half.has_value();
  }
  if (dtype == v1::DATA_TYPE_FLOAT64) {
    Append(value, bytes);
    return true;
  }
  if (FitsFloat(value)) Append(static_cast<float>(value), bytes);
  return FitsFloat(value);
}

}  // namespace

absl::StatusOr<size_t> BytesOf(const client::Shape& shape, size_t width) {
  size_t size = width;
  bool empty = false;
  for (const int64_t dimension : shape) {
    if (dimension == 0) {
      empty = true;
    } else if (static_cast<size_t>(dimension) >
               std::numeric_limits<size_t>::max() / size) {
      return absl::InvalidArgumentError("the shape is too large");
    } else {
      size *= static_cast<size_t>(dimension);
    }
  }
  return empty ? 0 : size;
}

absl::StatusOr<Array> ParseNumbers(absl::string_view text, v1::DataType dtype) {
  Array array{.dtype = dtype};
  if (text.empty()) {
    array.shape = {0};
    return array;
  }
  int64_t count = 0;
  for (absl::string_view item : absl::StrSplit(text, ',')) {
    item = absl::StripAsciiWhitespace(item);
    double value = 0;
    if (!absl::SimpleAtod(item, &value)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", item,
          "\" is neither a number nor a .npy, .npz or .safetensors file"));
    }
    if (IsBeyondFloat64(item, value) || !AppendAs(dtype, value, array.bytes)) {
      return absl::InvalidArgumentError(absl::StrCat(
          item, " is too large for ", std::string(Name(*FromProto(dtype)))));
    }
    ++count;
  }
  array.shape = {count};
  return array;
}

absl::StatusOr<Array> ReadArgument(absl::string_view text, v1::DataType dtype) {
  const std::optional<ArrayFileName> file = ParseArrayFileName(text);
  if (file.has_value()) return ReadArrayFile(*file, dtype);
  return ParseNumbers(text, dtype);
}

}  // namespace lossd::cli
