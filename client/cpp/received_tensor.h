#ifndef LOSSD_CLIENT_CPP_RECEIVED_TENSOR_H_
#define LOSSD_CLIENT_CPP_RECEIVED_TENSOR_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/tensor_view.h"
#include "grpcpp/support/slice.h"

namespace lossd::client {

// A tensor as it came off the wire: the received slices themselves, not a copy.
//
// Read it slice by slice (`chunks`), copy it where it is wanted (`CopyTo`), or
// ask for it in one piece (`As`), which copies once, on the first call. Not
// thread-safe; movable, so that the spans it gave out stay valid.
class ReceivedTensor {
 public:
  ReceivedTensor(v1::DataType dtype, Shape shape,
                 std::vector<grpc::Slice> chunks);

  v1::DataType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  size_t byte_size() const { return byte_size_; }

  // In order. A chunk may begin and end inside an element.
  const std::vector<grpc::Slice>& chunks() const { return chunks_; }

  // `destination` has exactly byte_size() bytes, or an error says so.
  absl::Status CopyTo(std::span<std::byte> destination) const;

  // The elements in one piece, aligned. T must be the dtype's C++ type.
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

  // All bytes in one piece, aligned for any element type.
  std::span<const std::byte> Contiguous();

 private:
  v1::DataType dtype_;
  Shape shape_;
  std::vector<grpc::Slice> chunks_;
  size_t byte_size_ = 0;
  // The copy in one piece, once asked for.
  std::unique_ptr<std::byte[]> contiguous_;
};

}  // namespace lossd::client

#endif  // LOSSD_CLIENT_CPP_RECEIVED_TENSOR_H_
