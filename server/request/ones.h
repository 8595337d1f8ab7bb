// Reads targets that are given by the places of their ones.
#ifndef LOSSD_SERVER_REQUEST_ONES_H_
#define LOSSD_SERVER_REQUEST_ONES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/tensor.pb.h"
#include "server/request/tensor.h"

namespace lossd::request {

// Returns the ones of `targets`, which has `ones` or `identity` and the shape
// `dims`, whose product does not overflow. The result of a list points into
// `indices`, which is filled with rising indices of elements. Errors:
// INVALID_ARGUMENT, naming the field, its index and both values.
absl::StatusOr<kernels::Ones> ReadOnes(const v1::Tensor& targets,
                                       const Dims& dims,
                                       std::vector<uint64_t>* indices);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_ONES_H_
