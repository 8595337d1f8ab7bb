// Changes requests field by field, which finds more than changing random bytes.
#include <google/protobuf/descriptor.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "base/data_type.h"
#include "kernels/sigmoid_loss.h"
#include "tests/fuzz/requests.h"

namespace lossd::fuzz {
namespace {

using Request = v1::ComputeLossRequest;

constexpr uint64_t kMaxFitted = 4096;

template <typename T, size_t kSize>
T OneOf(const T (&values)[kSize], Random& random) {
  return values[random() % kSize];
}

double Number(Random& random) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  constexpr double kNumbers[] = {
      0,    -0.0,   0.05, 0.25,  0.5,
      1,    2,      2.25, 5,     -1,
      -2.5, 17,     255,  256,   1e-3,
      1e30, 1e-320, kInf, -kInf, std::numeric_limits<double>::quiet_NaN()};
  return OneOf(kNumbers, random);
}

int64_t Dimension(Random& random) {
  constexpr int64_t kDimensions[] = {0,
                                     1,
                                     1,
                                     2,
                                     3,
                                     4,
                                     5,
                                     7,
                                     8,
                                     9,
                                     16,
                                     17,
                                     33,
                                     64,
                                     130,
                                     2049,
                                     -1,
                                     int64_t{1} << 31,
                                     int64_t{1} << 60,
                                     std::numeric_limits<int64_t>::max(),
                                     std::numeric_limits<int64_t>::min()};
  return OneOf(kDimensions, random);
}

v1::Tensor* AnyTensor(Request& request, Random& random) {
  switch (random() % 6) {
    case 0:
      return request.mutable_weights();
    case 1:
      return request.mutable_pos_weight();
    case 2:
      return request.mutable_upstream_gradient();
    case 3:
      return request.mutable_logits();
    default:
      return request.mutable_targets();
  }
}

// Changes any field of the spec. Fields are found by reflection, so fields that
// are added later are changed too.
void EditSpec(v1::LossSpec* spec, Random& random) {
  using google::protobuf::FieldDescriptor;
  const auto& fields = *spec->GetDescriptor();
  const FieldDescriptor& field = *fields.field(
      static_cast<int>(random() % static_cast<unsigned>(fields.field_count())));
  const auto& reflection = *spec->GetReflection();
  if (random() % 4 == 0) {
    reflection.ClearField(spec, &field);
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    reflection.SetEnumValue(spec, &field, static_cast<int>(random() % 8));
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE) {
    reflection.SetDouble(spec, &field, Number(random));
  } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    reflection.SetBool(spec, &field, random() % 2 == 0);
  }
}

void EditShape(v1::Tensor* tensor, Random& random) {
  const int rank = tensor->shape_size();
  if (rank == 0 || random() % 4 == 0) {
    tensor->add_shape(Dimension(random));
  } else if (random() % 4 == 0) {
    tensor->mutable_shape()->RemoveLast();
  } else {
    tensor->set_shape(static_cast<int>(random() % static_cast<unsigned>(rank)),
                      Dimension(random));
  }
}

void EditIndices(google::protobuf::RepeatedField<int64_t>* indices,
                 Random& random) {
  const auto size = static_cast<unsigned>(indices->size());
  if (size == 0 || random() % 3 == 0) {
    indices->Add(Dimension(random));
  } else if (random() % 3 == 0) {
    indices->RemoveLast();
  } else {
    indices->Set(static_cast<int>(random() % size), Dimension(random));
  }
}

void EditStorage(v1::Tensor* tensor, Random& random) {
  switch (random() % 7) {
    case 0:
      tensor->clear_storage();
      tensor->add_values(Number(random));
      break;
    case 1:
      tensor->clear_values();
      tensor->set_data(std::string(random() % 80, '\x3f'));
      break;
    case 2:
      EditIndices(tensor->mutable_ones()->mutable_columns(), random);
      break;
    case 3:
      EditIndices(tensor->mutable_ones()->mutable_row_splits(), random);
      break;
    case 4:
      tensor->mutable_identity()->set_diagonal(Dimension(random));
      break;
    case 5:
      tensor->mutable_shared_memory()->set_offset(random());
      break;
    default:
      tensor->clear_storage();
  }
}

// Returns the element count of the shape, or more than kMaxFitted if the tensor
// is not to be fitted.
uint64_t CountOf(const v1::Tensor& tensor) {
  uint64_t count = 1;
  for (const int64_t dim : tensor.shape()) {
    if (dim < 0 || static_cast<uint64_t>(dim) > kMaxFitted)
      return kMaxFitted + 1;
    count *= static_cast<uint64_t>(dim);
    if (count > kMaxFitted) return count;
  }
  return count;
}

void FitTensor(v1::Tensor* tensor, Random& random) {
  const uint64_t count = CountOf(*tensor);
  if (count > kMaxFitted) return;
  if (tensor->values_size() > 0) {
    tensor->clear_storage();
    tensor->mutable_values()->Resize(static_cast<int>(count), Number(random));
  } else if (tensor->has_data()) {
    const auto type = FromProto(tensor->dtype());
    if (!type.has_value()) return;
    constexpr char kFill[] = {'\0', '\x01', '\x3f', '\x7f', '\xff'};
    tensor->mutable_data()->resize(kernels::ByteSize(*type, count),
                                   OneOf(kFill, random));
  }
}

}  // namespace

void Edit(Request& request, Random& random) {
  v1::Tensor* tensor = AnyTensor(request, random);
  switch (random() % 8) {
    case 0:
      tensor->set_dtype(static_cast<v1::DataType>(random() % 11));
      break;
    case 1:
    case 2:
      EditShape(tensor, random);
      break;
    case 3:
      EditStorage(tensor, random);
      break;
    case 4:
      tensor->Clear();
      break;
    case 5:
      request.mutable_gradient_destination()->set_byte_size(random() % 256);
      if (random() % 4 != 0) request.clear_gradient_destination();
      if (random() % 4 != 0) request.clear_second_derivative_destination();
      break;
    default:
      EditSpec(request.mutable_spec(), random);
  }
}

void Fit(Request& request, Random& random) {
  if (random() % 4 != 0) {
    *request.mutable_targets()->mutable_shape() = request.logits().shape();
  }
  FitTensor(request.mutable_logits(), random);
  FitTensor(request.mutable_targets(), random);
  if (request.has_weights()) FitTensor(request.mutable_weights(), random);
  if (request.has_pos_weight()) FitTensor(request.mutable_pos_weight(), random);
  if (request.has_upstream_gradient()) {
    FitTensor(request.mutable_upstream_gradient(), random);
  }
}

}  // namespace lossd::fuzz
