#ifndef LOSSD_CLIENT_CLI_NPY_H_
#define LOSSD_CLIENT_CLI_NPY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/array.h"
#include "client/cpp/tensor_view.h"

namespace lossd::cli {

// Reads one array from a .npy file: format versions 1 to 3, C order,
// little-endian f2, f4, f8, u1, b1, i4, i8, and V2, as which NumPy saves the
// bfloat16 of ml_dtypes. Anything else is an error of one line
// that begins with the file's name.
absl::StatusOr<Array> ReadNpy(const std::string& path);

// The same for a file's content.
absl::StatusOr<Array> ParseNpy(absl::string_view content);

// Writes an array of a floating-point type, version 1.
absl::Status WriteNpy(const std::string& path, const client::TensorView& array);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_NPY_H_
