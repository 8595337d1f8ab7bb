#ifndef LOSSD_CLIENT_CLI_ARRAY_H_
#define LOSSD_CLIENT_CLI_ARRAY_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cpp/tensor_view.h"

namespace lossd::cli {

// An array in memory: what a file or a flag held.
struct Array {
  v1::DataType dtype = v1::DATA_TYPE_FLOAT32;
  client::Shape shape = {};
  std::vector<std::byte> bytes = {};

  client::TensorView view() const { return {dtype, shape, bytes}; }
};

// Numbers as a person types them, "0.5,-1,inf"; one dimension of a
// floating-point type. INVALID_ARGUMENT names the first that is no number, or
// that the type cannot hold.
absl::StatusOr<Array> ParseNumbers(absl::string_view text, v1::DataType dtype);

// `text` is the name of a .npy file (it ends so), or numbers.
absl::StatusOr<Array> ReadArgument(absl::string_view text, v1::DataType dtype);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_ARRAY_H_
