// Makes requests for the tests of validation, and reads them as the server
// does.
#ifndef LOSSD_TESTS_SERVER_REQUEST_READING_H_
#define LOSSD_TESTS_SERVER_REQUEST_READING_H_

#include <string>
#include <vector>

#include "server/request/valid_request.h"

namespace lossd::request {

using Request = v1::ComputeLossRequest;

inline void SetFloats(v1::Tensor* tensor, std::vector<int64_t> shape,
                      size_t count) {
  for (const int64_t dim : shape) tensor->add_shape(dim);
  const std::vector<float> zeros(count);
  tensor->set_data(reinterpret_cast<const char*>(zeros.data()),
                   count * sizeof(float));
}

inline Request TwoByThree() {
  Request request;
  SetFloats(request.mutable_logits(), {2, 3}, 6);
  SetFloats(request.mutable_targets(), {2, 3}, 6);
  return request;
}

// A request read as the server reads it, and kept alive.
struct Reading {
  explicit Reading(const Request& request,
                   const shared_memory::RegionTable* regions = nullptr) {
    const grpc::Slice slice(request.SerializeAsString());
    status = parser.Parse(grpc::ByteBuffer(&slice, 1));
    if (status.ok()) status = valid.Read(parser, regions);
  }
  std::string message() const { return std::string(status.message()); }
  std::vector<uint64_t> Dims() const {
    const auto& shape = valid.segment().shape;
    return {shape.dims.begin(), shape.dims.begin() + shape.rank};
  }
  std::vector<uint64_t> Strides(const kernels::Operand& operand) const {
    return {operand.strides.begin(),
            operand.strides.begin() + valid.segment().shape.rank};
  }
  wire::RequestParser parser;
  ValidRequest valid;
  absl::Status status;
};

}  // namespace lossd::request

#endif  // LOSSD_TESTS_SERVER_REQUEST_READING_H_
