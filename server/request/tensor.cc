#include "server/request/tensor.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/data_type.h"
#include "server/request/format.h"
#include "server/request/typed_values.h"

namespace lossd::request {
namespace {

using kernels::ElementType;

// More elements than any machine holds; a product below it does not overflow.
constexpr uint64_t kMaxElements = uint64_t{1} << 60;

absl::Status ReadValues(absl::string_view path, const v1::Tensor& tensor,
                        CheckedTensor* checked) {
  checked->as_values = true;
  const uint64_t given = static_cast<uint64_t>(tensor.values_size());
  if (tensor.shape_size() == 0) {
    checked->dims.push_back(given);
    checked->count = given;
  }
  if (given != checked->count) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ".values: ", given, " values, but the shape ",
        ShapeText(checked->dims), " has ", checked->count, " elements"));
  }
  if (absl::Status status = StoreValues(
          path, tensor.values(), checked->tensor.type, &checked->converted);
      !status.ok()) {
    return status;
  }
  checked->piece = checked->converted;
  checked->tensor.pieces = std::span(&checked->piece, 1);
  return absl::OkStatus();
}

// `path` is that of the storage, which has `given` bytes.
absl::Status CheckByteSize(absl::string_view path, absl::string_view storage,
                           uint64_t given, const CheckedTensor& checked) {
  const uint64_t needed = kernels::ByteSize(checked.tensor.type, checked.count);
  if (given == needed) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, storage, ": ", given, " bytes, but ",
                   View(kernels::Name(checked.tensor.type)), " of shape ",
                   ShapeText(checked.dims), " takes ", needed));
}

absl::Status ReadData(absl::string_view path,
                      std::span<const kernels::Piece> data,
                      CheckedTensor* checked) {
  uint64_t given = 0;
  for (const kernels::Piece& piece : data) given += piece.size();
  absl::Status status = CheckByteSize(path, ".data", given, *checked);
  if (status.ok() && checked->count > 0) checked->tensor.pieces = data;
  return status;
}

absl::Status ReadShared(absl::string_view path, const v1::SharedMemoryRef& ref,
                        SharedTensors* shared, CheckedTensor* checked) {
  absl::Status status = CheckByteSize(path, ".shared_memory.byte_size",
                                      ref.byte_size(), *checked);
  if (!status.ok()) return status;
  absl::StatusOr<SharedBytes> found =
      shared->Source(path, ref, checked->tensor.type);
  if (!found.ok()) return found.status();
  checked->piece = found->bytes;
  if (checked->count > 0) {
    checked->tensor.pieces = std::span(&checked->piece, 1);
    checked->tensor.on_device = found->on_device();
  }
  return absl::OkStatus();
}

// Which elements are 1 is read when the logits' shape is known.
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
  return ReadShape(path, ".shape", tensor.shape(), &checked->dims,
                   &checked->count);
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

absl::Status ReadShape(absl::string_view path, absl::string_view list,
                       const google::protobuf::RepeatedField<int64_t>& shape,
                       Dims* dims, uint64_t* count) {
  if (shape.size() > kMaxDimensions) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, list, ": ", shape.size(), " dimensions, at most ",
                     kMaxDimensions, " are allowed"));
  }
  for (int i = 0; i < shape.size(); ++i) {
    if (shape.Get(i) < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, list, ": dimension ", i, " is ", shape.Get(i), ", below 0"));
    }
    dims->push_back(static_cast<uint64_t>(shape.Get(i)));
  }
  if (std::find(dims->begin(), dims->end(), 0U) != dims->end()) {
    *count = 0;
    return absl::OkStatus();
  }
  *count = 1;
  for (const uint64_t dim : *dims) {
    if (dim > kMaxElements / *count) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, list, ": ", ShapeText(*dims), " is more than 2^60 elements"));
    }
    *count *= dim;
  }
  return absl::OkStatus();
}

absl::Status ReadGradientType(const v1::LossSpec& spec, ElementType logits,
                              ElementType* gradient) {
  *gradient = logits;
  const v1::DataType dtype = spec.gradient_dtype();
  if (dtype == v1::DATA_TYPE_UNSPECIFIED) return absl::OkStatus();
  const std::optional<ElementType> type = FromProto(dtype);
  if (!type.has_value() || !IsFloat(*type)) {
    return absl::InvalidArgumentError(
        absl::StrCat("spec.gradient_dtype: ", v1::DataType_Name(dtype),
                     " is not a floating-point type"));
  }
  *gradient = *type;
  return absl::OkStatus();
}

absl::Status CheckLogitsType(ElementType type) {
  if (IsFloat(type)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("logits.dtype: ", v1::DataType_Name(ToProto(type)),
                   " is not a floating-point type, as logits are"));
}

absl::Status CheckOperandType(wire::Field field, ElementType type) {
  if (type != ElementType::kBit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(Name(field),
                   ".dtype: DATA_TYPE_BIT is for targets alone; send "
                   "DATA_TYPE_BOOL or DATA_TYPE_UINT8"));
}

absl::Status ReadTensor(wire::Field field, const v1::Tensor& tensor,
                        std::span<const kernels::Piece> data,
                        SharedTensors* shared, CheckedTensor* checked) {
  const absl::string_view path = Name(field);
  const bool has_storage = tensor.storage_case() != v1::Tensor::STORAGE_NOT_SET;
  checked->present =
      has_storage || tensor.values_size() > 0 || tensor.shape_size() > 0;
  checked->as_values = checked->as_ones = checked->has_shape = false;
  checked->dims.clear();
  checked->count = 0;
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
  if (absl::Status status = ReadShape(path, ".shape", tensor.shape(),
                                      &checked->dims, &checked->count);
      !status.ok()) {
    return status;
  }
  if (tensor.has_shared_memory()) {
    return ReadShared(path, tensor.shared_memory(), shared, checked);
  }
  if (tensor.values_size() > 0) return ReadValues(path, tensor, checked);
  return ReadData(path, data, checked);
}

}  // namespace lossd::request
