// Targets given by where their ones are -> kernels::Ones.
#ifndef LOSSD_SERVER_REQUEST_ONES_H_
#define LOSSD_SERVER_REQUEST_ONES_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "kernels/sigmoid_loss.h"
#include "lossd/v1/tensor.pb.h"
#include "server/request/tensor.h"

namespace lossd::request {

// Both read the targets of a tensor of `dims`, whose product does not overflow.
// Every violation is INVALID_ARGUMENT and named with its field, its index and
// both values.

// `indices` is filled with rising indices of elements, and `ones` points into
// it.
absl::Status ReadOnes(const v1::SparseIndices& sparse, const Dims& dims,
                      std::vector<uint64_t>* indices, kernels::Ones* ones);

absl::Status ReadIdentity(const v1::Identity& identity, const Dims& dims,
                          kernels::Ones* ones);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_ONES_H_
