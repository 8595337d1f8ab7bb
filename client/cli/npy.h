// NumPy's .npy files.
#ifndef LOSSD_CLIENT_CLI_NPY_H_
#define LOSSD_CLIENT_CLI_NPY_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/array.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::cli {

// Reads one array from a .npy file: format versions 1 to 3, C order,
// little-endian f2, f4, f8, u1, b1, i1, i2, i4, i8, and V2, as which NumPy
// saves the bfloat16 of ml_dtypes. Arrays of V1 and f1, as which it saves
// float8, have the type `float8`, if that is one. UNIMPLEMENTED for other .npy
// files, INVALID_ARGUMENT for anything else; the message is one line that
// begins with the path. "-" is standard input.
absl::StatusOr<Array> ReadNpy(const std::string& path,
                              v1::DataType float8 = v1::DATA_TYPE_UNSPECIFIED);

// Reads an array from the content of such a file.
absl::StatusOr<Array> ParseNpy(absl::string_view content,
                               v1::DataType float8 = v1::DATA_TYPE_UNSPECIFIED);

// Returns what such a file, in version 1, has before the array's bytes.
// UNIMPLEMENTED for a type that NumPy has not.
absl::StatusOr<std::string> NpyHeader(const client::TensorView& array);

// Writes an array of a floating-point type, in version 1. INVALID_ARGUMENT if
// the file cannot be written.
absl::Status WriteNpy(const std::string& path, const client::TensorView& array);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_NPY_H_
