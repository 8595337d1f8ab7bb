#include "server/request/tensor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "server/base/status_macros.h"
#include "server/request/format.h"
#include "server/request/typed_values.h"

namespace lossd::request {
namespace {

using kernels::ElementType;

// No machine holds so many elements, and a product below it does not overflow.
constexpr uint64_t kMaxElements = uint64_t{1} << 60;

absl::Status ReadValues(absl::string_view path, const v1::Tensor& tensor,
                        CheckedTensor* checked) {
  checked->as_values = true;
  CountedShape& shape = checked->shape;
  const uint64_t given = static_cast<uint64_t>(tensor.values_size());
  if (tensor.shape_size() == 0) shape = {.dims = {given}, .count = given};
  if (given != shape.count) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".values: ", given, " values, but the shape ",
                     ShapeText(shape.dims), " has ", shape.count, " elements"));
  }
  RETURN_IF_ERROR(StoreValues(path, tensor.values(), checked->tensor.type,
                              &checked->converted));
  checked->piece = checked->converted;
  checked->tensor.pieces = std::span(&checked->piece, 1);
  return absl::OkStatus();
}

// Errors begin with `path` followed by `storage`, which has `given` bytes.
absl::Status CheckByteSize(absl::string_view path, absl::string_view storage,
                           uint64_t given, const CheckedTensor& checked) {
  const uint64_t needed =
      kernels::ByteSize(checked.tensor.type, checked.shape.count);
  if (given == needed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, storage, ": ", given, " bytes, but ",
                   View(kernels::Name(checked.tensor.type)), " of shape ",
                   ShapeText(checked.shape.dims), " takes ", needed));
}

absl::Status ReadData(absl::string_view path,
                      std::span<const kernels::Piece> data,
                      CheckedTensor* checked) {
  uint64_t given = 0;
  for (const kernels::Piece& piece : data) given += piece.size();
  RETURN_IF_ERROR(CheckByteSize(path, ".data", given, *checked));
  if (checked->shape.count > 0) checked->tensor.pieces = data;
  return absl::OkStatus();
}

absl::Status ReadShared(absl::string_view path, const v1::SharedMemoryRef& ref,
                        SharedTensors* shared, CheckedTensor* checked) {
  RETURN_IF_ERROR(CheckByteSize(path, ".shared_memory.byte_size",
                                ref.byte_size(), *checked));
  absl::StatusOr<SharedBytes> found =
      shared->Source(path, ref, checked->tensor.type);
  if (!found.ok()) return found.status();
  checked->piece = found->bytes;
  if (checked->shape.count > 0) {
    checked->tensor.pieces = std::span(&checked->piece, 1);
    checked->tensor.on_device = found->on_device();
    checked->tensor.pinned = found->pinned;
  }
  return absl::OkStatus();
}

absl::Status ReadShapeOf(absl::string_view path, const v1::Tensor& tensor,
                         CheckedTensor* checked) {
  absl::StatusOr<CountedShape> shape =
      ReadShape(path, ".shape", tensor.shape());
  if (!shape.ok()) return shape.status();
  checked->shape = *std::move(shape);
  return absl::OkStatus();
}

// Reads the shape alone: the indices are read by ReadOnes() once the logits'
// shape is known.
absl::Status ReadOnesShape(wire::Field field, const v1::Tensor& tensor,
                           CheckedTensor* checked) {
  const absl::string_view path = Name(field);
  if (field != wire::Field::kTargets) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, tensor.has_ones() ? ".ones" : ".identity",
                     ": only targets are given by their ones; send data"));
  }
  checked->as_ones = true;
  checked->has_shape = tensor.shape_size() > 0;
  if (!checked->has_shape) return absl::OkStatus();
  return ReadShapeOf(path, tensor, checked);
}

absl::string_view StorageName(const v1::Tensor& tensor) {
  switch (tensor.storage_case()) {
    case v1::Tensor::kData:
      return "data";
    case v1::Tensor::kSharedMemory:
      return "shared_memory";
    case v1::Tensor::kOnes:
      return "ones";
    case v1::Tensor::kIdentity:
      return "identity";
    case v1::Tensor::STORAGE_NOT_SET:
      break;
  }
  return "nothing";
}

}  // namespace

absl::StatusOr<CountedShape> ReadShape(
    absl::string_view path, absl::string_view list,
    const google::protobuf::RepeatedField<int64_t>& shape) {
  if (shape.size() > kMaxDimensions) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, list, ": ", shape.size(), " dimensions, at most ",
                     kMaxDimensions, " are allowed"));
  }
  CountedShape read;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape.Get(i) < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, list, ": dimension ", i, " is ", shape.Get(i), ", below 0"));
    }
    read.dims.push_back(static_cast<uint64_t>(shape.Get(i)));
  }
  if (std::ranges::find(read.dims, 0U) != read.dims.end()) return read;
  read.count = 1;
  for (const uint64_t dim : read.dims) {
    if (dim > kMaxElements / read.count) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, list, ": ", ShapeText(read.dims),
                       " is more than 2^60 elements"));
    }
    read.count *= dim;
  }
  return read;
}

absl::Status ReadTensor(wire::Field field, const v1::Tensor& tensor,
                        std::span<const kernels::Piece> data,
                        SharedTensors* shared, CheckedTensor* checked) {
  const absl::string_view path = Name(field);
  const bool has_storage = tensor.storage_case() != v1::Tensor::STORAGE_NOT_SET;
  checked->present =
      has_storage || tensor.values_size() > 0 || tensor.shape_size() > 0;
  checked->as_values = checked->as_ones = checked->has_shape = false;
  checked->shape.dims.clear();
  checked->shape.count = 0;
  checked->tensor = kernels::Tensor();
  const std::optional<ElementType> type = FromProto(tensor.dtype());
  if (!type.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".dtype: ", static_cast<int>(tensor.dtype()),
                     " is not a value of DataType"));
  }
  checked->tensor.type = *type;
  if (!checked->present) return absl::OkStatus();
  if (has_storage && tensor.values_size() > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".values: ", tensor.values_size(), " values beside ",
                     StorageName(tensor), "; send one of the two"));
  }
  if (tensor.has_ones() || tensor.has_identity()) {
    return ReadOnesShape(field, tensor, checked);
  }
  RETURN_IF_ERROR(ReadShapeOf(path, tensor, checked));
  if (tensor.has_shared_memory()) {
    return ReadShared(path, tensor.shared_memory(), shared, checked);
  }
  if (tensor.values_size() > 0) return ReadValues(path, tensor, checked);
  return ReadData(path, data, checked);
}

}  // namespace lossd::request
