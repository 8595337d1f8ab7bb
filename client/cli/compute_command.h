// lossctl compute: one loss from flags, .npy files or JSON, printed.
#ifndef LOSSD_CLIENT_CLI_COMPUTE_COMMAND_H_
#define LOSSD_CLIENT_CLI_COMPUTE_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string>

#include "base/flag_table.h"
#include "client/cli/connection_flags.h"
#include "client/cli/exit_code.h"
#include "client/cli/spec_flags.h"

namespace lossd::cli {

// The flags that give the tensors.
struct TensorFlags {
  std::string logits;
  std::string targets;
  std::optional<int64_t> identity_targets;
  std::string weights;
  std::string pos_weight;
  std::string upstream_gradient;
  std::string dtype = "float32";
  std::string request;
  std::string request_id;
  int64_t stream_above_bytes = client::ClientOptions().stream_above_bytes;
};

// The flags that say what is printed and written.
struct OutputFlags {
  std::string gradient_out;
  std::string second_derivative_out;
  bool print_gradient = false;
  bool json = false;
};

// Return the rows of `flags`, which are borrowed.
FlagGroup TensorRows(TensorFlags& flags);
FlagGroup OutputRows(OutputFlags& flags);

// Returns the row of --json, which is also one of OutputRows().
Flag JsonRow(OutputFlags& flags);

// All that the command is told.
struct ComputeFlags {
  SpecFlags spec;
  TensorFlags tensors;
  ConnectionFlags connection;
  OutputFlags output;
};

// Runs the command; errors are printed.
ExitCode RunCompute(const ComputeFlags& flags);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_COMPUTE_COMMAND_H_
