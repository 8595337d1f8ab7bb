// Tensors of a reply.
#ifndef LOSSD_CLIENT_CPP_TENSOR_RECEIVED_TENSOR_H_
#define LOSSD_CLIENT_CPP_TENSOR_RECEIVED_TENSOR_H_

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/tensor/tensor_view.h"

namespace lossd::client {

// A tensor in the slices in which it was received, without a copy.
//
// chunks() gives the slices, CopyTo() copies the tensor, and As() gives it in
// one piece, which it copies on the first call, unless it came as one aligned
// slice. Not thread-safe. A move keeps the spans that were given out valid.
class ReceivedTensor {
 public:
  ReceivedTensor(v1::DataType dtype, Shape shape,
                 std::vector<grpc::Slice> chunks);

  v1::DataType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  size_t byte_size() const { return byte_size_; }

  // Returns the slices in order. One may begin or end inside an element.
  const std::vector<grpc::Slice>& chunks() const { return chunks_; }

  // INVALID_ARGUMENT if `destination` has not exactly byte_size() bytes.
  absl::Status CopyTo(std::span<std::byte> destination) const;

  // Returns the elements in one piece, aligned. INVALID_ARGUMENT if T is not
  // the dtype's C++ type.
  template <typename T>
  absl::StatusOr<std::span<const T>> As() {
    if (kDataTypeOf<T> != dtype_) {
      return absl::InvalidArgumentError(
          absl::StrCat("the tensor is ", v1::DataType_Name(dtype_), ", not ",
                       v1::DataType_Name(kDataTypeOf<T>)));
    }
    const std::span<const std::byte> bytes = Contiguous();
    return std::span<const T>(reinterpret_cast<const T*>(bytes.data()),
                              bytes.size() / sizeof(T));
  }

  // Returns all bytes in one piece, aligned for any element type.
  std::span<const std::byte> Contiguous();

 private:
  v1::DataType dtype_;
  Shape shape_;
  std::vector<grpc::Slice> chunks_;
  size_t byte_size_ = 0;
  // The copy in one piece, or null before it is asked for and needed.
  std::unique_ptr<std::byte[]> contiguous_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_TENSOR_RECEIVED_TENSOR_H_
