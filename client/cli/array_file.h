// Files of arrays, and the names by which lossctl's flags say which array of
// which file is meant.
#ifndef LOSSD_CLIENT_CLI_ARRAY_FILE_H_
#define LOSSD_CLIENT_CLI_ARRAY_FILE_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cli/array.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::cli {

enum class FileFormat { kNpy, kNpz, kSafetensors };

struct ArrayFileName {
  FileFormat format = FileFormat::kNpy;
  std::string path;
  // The array in a file of several. Empty means the only one.
  std::string array = {};
};

// Reads "x.npy", "x.npz", "x.npz:NAME", "x.safetensors" or
// "x.safetensors:NAME". Returns nothing for any other text.
std::optional<ArrayFileName> ParseArrayFileName(absl::string_view text);

// Reads one array of a file. An array of single bytes whose file does not name
// its type has the type `float8`, if that is one (npy.h). INVALID_ARGUMENT or
// UNIMPLEMENTED, whose message is one line that begins with the path.
absl::StatusOr<Array> ReadArrayFile(
    const ArrayFileName& name, v1::DataType float8 = v1::DATA_TYPE_UNSPECIFIED);

// Writes one array of a floating-point type to the file that `text` names, as
// .npy unless it names one of the other formats. There the array is the file's
// only one, and its name is `default_name` unless `text` has another.
// INVALID_ARGUMENT, which begins with the path, if the file cannot be written.
absl::Status WriteArrayFile(const std::string& text,
                            const std::string& default_name,
                            const client::TensorView& array);

// Returns which of a file's arrays `asked` means. INVALID_ARGUMENT, which lists
// the names, if there is none or, with an empty `asked`, more than one.
absl::StatusOr<std::string> ChooseArray(const std::vector<std::string>& names,
                                        const std::string& asked);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_ARRAY_FILE_H_
