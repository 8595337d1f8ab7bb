#ifndef LOSSD_CLIENT_CLI_NPY_HEADER_H_
#define LOSSD_CLIENT_CLI_NPY_HEADER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cpp/tensor_view.h"

namespace lossd::cli {

// What a .npy file's header says, as it says it.
struct NpyHeader {
  // NumPy's name of the element type, such as "<f4".
  std::string descr;
  bool fortran_order = false;
  client::Shape shape;
};

// Reads the Python dictionary of a header:
// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, keys in any
// order, each exactly once.
absl::StatusOr<NpyHeader> ParseNpyHeader(absl::string_view dictionary);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_NPY_HEADER_H_
