// Files of safetensors.
#ifndef LOSSD_CLIENT_CLI_SAFETENSORS_H_
#define LOSSD_CLIENT_CLI_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/array.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::cli {

// One tensor of a file's header.
struct SafetensorsEntry {
  std::string dtype;  // the format's name, such as "F32"
  client::Shape shape;
  // The bytes [begin, end) after the header.
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Reads the JSON of a header whose data has `data_bytes` bytes. Returns the
// tensors by name, which cover the data without a gap and without an overlap,
// as the format requires. INVALID_ARGUMENT for a header that is none.
absl::StatusOr<std::map<std::string, SafetensorsEntry>> ParseSafetensorsHeader(
    absl::string_view json, uint64_t data_bytes);

// Reads the tensor `name`, or the only one if the name is empty, and no bytes
// of others. INVALID_ARGUMENT if the file is damaged or has no such tensor,
// UNIMPLEMENTED if lossd has not its type.
absl::StatusOr<Array> ReadSafetensors(const std::string& path,
                                      const std::string& name);

// Writes a file of one tensor. INVALID_ARGUMENT if it cannot be written.
absl::Status WriteSafetensors(const std::string& path, const std::string& name,
                              const client::TensorView& array);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_SAFETENSORS_H_
