// NumPy's .npz files: zip archives of .npy files.
#ifndef LOSSD_CLIENT_CLI_NPZ_H_
#define LOSSD_CLIENT_CLI_NPZ_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/array.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::cli {

// Reads the array `name` of an archive, stored or deflated, as numpy.savez()
// and numpy.savez_compressed() write it; an empty name means the only array.
// INVALID_ARGUMENT if the file is damaged or has no such array, UNIMPLEMENTED
// if the array is of a kind that ParseNpy() does not read. `float8` is that of
// ParseNpy().
absl::StatusOr<Array> ReadNpz(const std::string& path, const std::string& name,
                              v1::DataType float8 = v1::DATA_TYPE_UNSPECIFIED);

// Writes an archive of one array, stored. INVALID_ARGUMENT if the file cannot
// be written.
absl::Status WriteNpz(const std::string& path, const std::string& name,
                      const client::TensorView& array);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_NPZ_H_
