#ifndef LOSSD_CLIENT_CLI_TENSOR_STATISTICS_H_
#define LOSSD_CLIENT_CLI_TENSOR_STATISTICS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cpp/received_tensor.h"

namespace lossd::cli {

// Of a tensor's elements; all but the counts leave NaNs out, and are 0 where
// nothing is left.
struct TensorStatistics {
  int64_t elements = 0;
  int64_t nans = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  // Square root of the sum of squares.
  double l2 = 0;
};

// UNIMPLEMENTED for dtypes that are not floating-point types.
absl::StatusOr<TensorStatistics> StatisticsOf(client::ReceivedTensor& tensor);

// All elements in row-major order, exactly. UNIMPLEMENTED likewise.
absl::StatusOr<std::vector<double>> ElementsOf(client::ReceivedTensor& tensor);

}  // namespace lossd::cli

#endif  // LOSSD_CLIENT_CLI_TENSOR_STATISTICS_H_
