// Arrays that lossctl is given, in files or as numbers.
#ifndef LOSSD_CLIENT_CLI_ARRAY_H_
#define LOSSD_CLIENT_CLI_ARRAY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::cli {

// An array in memory, read from a file or a flag.
struct Array {
  v1::DataType dtype = v1::DATA_TYPE_FLOAT32;
  client::Shape shape = {};
  std::vector<std::byte> bytes = {};

  client::TensorView view() const { return {dtype, shape, bytes}; }
};

// Returns the bytes of an array with elements of `width` bytes. A dimension of
// 0 makes it empty, however large the others are. INVALID_ARGUMENT if 64 bits
// cannot hold the number.
absl::StatusOr<size_t> BytesOf(const client::Shape& shape, size_t width);

// Reads numbers as a person types them, "0.5,-1,inf", as one dimension of a
// floating-point type. INVALID_ARGUMENT, which names it, for the first that is
// no number or that the type cannot hold.
absl::StatusOr<Array> ParseNumbers(absl::string_view text, v1::DataType dtype);

// Reads the array of a file that `text` names (array_file.h), or else numbers.
// `dtype` is the type of numbers, and of a file's bytes without a type.
absl::StatusOr<Array> ReadArgument(absl::string_view text, v1::DataType dtype);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_ARRAY_H_
