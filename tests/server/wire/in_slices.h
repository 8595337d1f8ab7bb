// Cuts bytes as a transport may.
#ifndef LOSSD_TESTS_SERVER_WIRE_IN_SLICES_H_
#define LOSSD_TESTS_SERVER_WIRE_IN_SLICES_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <random>
#include <string>
#include <vector>

namespace lossd::wire {

// Returns `bytes` in slices that end at random places.
inline grpc::ByteBuffer InSlices(const std::string& bytes,
                                 std::mt19937& random) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = random() % 40;
    slices.emplace_back(bytes.substr(at, size));
    at += size;
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace lossd::wire

#endif  // LOSSD_TESTS_SERVER_WIRE_IN_SLICES_H_
