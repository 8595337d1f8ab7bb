#include "tests/integration/random_request.h"

#include <bit>
#include <string>

#include "client/cpp/tensor/float8.h"

namespace lossd {
namespace {

// Encodes numbers as elements of `dtype`. Half types are made by truncating a
// float, which is exact for the values used here.
std::string Encoded(v1::DataType dtype, const std::vector<double>& values) {
  std::string bytes;
  const auto put = [&bytes](auto value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  if (dtype == v1::DATA_TYPE_BIT) bytes.resize((values.size() + 7) / 8);
  for (size_t i = 0; i < values.size(); ++i) {
    const double v = values[i];
    switch (dtype) {
      case v1::DATA_TYPE_FLOAT64:
        put(v);
        break;
      case v1::DATA_TYPE_BFLOAT16:
        put(static_cast<uint16_t>(
            std::bit_cast<uint32_t>(static_cast<float>(v)) >> 16));
        break;
      case v1::DATA_TYPE_FLOAT8_E4M3FN:
      case v1::DATA_TYPE_FLOAT8_E5M2:
        put(client::DoubleToFloat8(dtype, v).value_or(0));
        break;
      case v1::DATA_TYPE_UINT8:
      case v1::DATA_TYPE_BOOL:
        put(static_cast<uint8_t>(v));
        break;
      case v1::DATA_TYPE_INT8:
        put(static_cast<int8_t>(v));
        break;
      case v1::DATA_TYPE_INT16:
        put(static_cast<int16_t>(v));
        break;
      case v1::DATA_TYPE_INT32:
        put(static_cast<int32_t>(v));
        break;
      case v1::DATA_TYPE_INT64:
        put(static_cast<int64_t>(v));
        break;
      case v1::DATA_TYPE_BIT:
        if (v != 0) bytes[i / 8] |= static_cast<char>(1 << (i % 8));
        break;
      default:
        put(static_cast<float>(v));
    }
  }
  return bytes;
}

int64_t Product(const std::vector<int64_t>& shape) {
  int64_t product = 1;
  for (const int64_t dim : shape) product *= dim;
  return product;
}

template <typename Value>
void Set(v1::Tensor* tensor, v1::DataType dtype,
         const std::vector<int64_t>& shape, Value value) {
  std::vector<double> values(static_cast<size_t>(Product(shape)));
  for (double& v : values) v = value();
  tensor->set_dtype(dtype);
  tensor->mutable_shape()->Assign(shape.begin(), shape.end());
  tensor->set_data(Encoded(dtype, values));
}

}  // namespace

v1::ComputeLossRequest RandomRequest::Make() {
  MakeSpec();
  const std::vector<int64_t> shape = Shape();
  const v1::DataType floats[] = {
      v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64, v1::DATA_TYPE_BFLOAT16,
      v1::DATA_TYPE_FLOAT8_E4M3FN, v1::DATA_TYPE_FLOAT8_E5M2};
  Set(request_.mutable_logits(), floats[Below(5)], shape, [this] {
    return static_cast<double>(static_cast<int>(Below(4001)) - 2000) / 64;
  });
  MakeTargets(shape);
  if (Below(2) == 0) MakeOperand(request_.mutable_weights(), shape);
  if (Below(2) == 0) MakeOperand(request_.mutable_pos_weight(), shape);
  if (Below(2) == 0) MakeUpstream(shape);
  request_.set_request_id("stream");
  return request_;
}

void RandomRequest::MakeSpec() {
  v1::LossSpec& spec = *request_.mutable_spec();
  spec.set_kind(static_cast<v1::LossKind>(Below(7)));
  spec.set_reduction(static_cast<v1::Reduction>(Below(6)));
  const bool has_rows = spec.reduction() >= v1::REDUCTION_ROWS;
  if (spec.reduction() <= v1::REDUCTION_MEAN) {
    spec.set_normalizer(static_cast<v1::Normalizer>(Below(7)));
  }
  // A stream has no other divisors of rows.
  if (has_rows) {
    const v1::Normalizer known[] = {
        v1::NORMALIZER_ELEMENTS, v1::NORMALIZER_BATCH, v1::NORMALIZER_CALLER};
    spec.set_normalizer(known[Below(3)]);
  }
  if (spec.normalizer() == v1::NORMALIZER_CALLER) {
    spec.set_normalizer_value(12.5);
  }
  if (Below(2) == 0) spec.set_loss_weight(0.3);
  if (Below(2) == 0 && spec.reduction() != v1::REDUCTION_MEAN_OF_ROWS) {
    spec.set_ignore_target(Below(2));
  }
  if (Below(3) == 0 && spec.kind() != v1::LOSS_KIND_VARIFOCAL) {
    spec.set_label_smoothing(0.1);
    if (Below(2) == 0) spec.set_label_smoothing_prior(0.25);
  }
  MakeKind(spec);
  if (Below(4) == 0) spec.set_gradient(v1::GRADIENT_MODE_OMIT);
  if (Below(3) == 0) {
    spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
  }
  if ((spec.reduction() == v1::REDUCTION_NONE ||
       spec.reduction() == v1::REDUCTION_ROWS) &&
      Below(2) == 0) {
    spec.set_losses_dtype(static_cast<v1::DataType>(Below(5)));
  }
  if (Below(3) == 0) {
    spec.set_gradient_dtype(static_cast<v1::DataType>(Below(5)));
  }
}

void RandomRequest::MakeKind(v1::LossSpec& spec) {
  if (spec.kind() == v1::LOSS_KIND_ASYMMETRIC) {
    spec.set_asymmetric_gamma_negative(4);
    spec.set_asymmetric_margin(0.05);
    spec.set_detach_focus(Below(2) == 0);
  }
  if (spec.kind() == v1::LOSS_KIND_SIGMOID_FOCAL ||
      spec.kind() > v1::LOSS_KIND_ASYMMETRIC) {
    spec.set_focal_gamma(Below(2) == 0 ? 2 : 0.5);
  }
  if (spec.kind() == v1::LOSS_KIND_SIGMOID_FOCAL) {
    spec.set_detach_focus(Below(2) == 0);
    spec.set_soft_targets(static_cast<v1::SoftTargetRule>(Below(3)));
  }
  if (spec.kind() == v1::LOSS_KIND_POLY) spec.set_poly_epsilon(1.5);
}

std::vector<int64_t> RandomRequest::Shape() {
  const int64_t some = static_cast<int64_t>(Below(300));
  const bool has_rows = request_.spec().reduction() >= v1::REDUCTION_ROWS;
  switch (Below(8)) {
    case 0:
      if (has_rows) return {2, 200000};  // each of more than a window
      return {};
    case 1:
      return {some, 3};
    case 2:
      return {2047 + static_cast<int64_t>(Below(3))};
    case 3:
      return {Below(2) == 0 ? 0 : 1, 5};  // one or no row
    case 4:
      return {131072 + static_cast<int64_t>(Below(5)) - 2};
    case 5:
      return {300 + some, 2, 701};
    case 6:
      return {3, 7 + some, 1};
    default:
      return {7000 + some, 1 + static_cast<int64_t>(Below(9))};
  }
}

void RandomRequest::MakeTargets(const std::vector<int64_t>& shape) {
  const v1::DataType types[] = {
      v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_UINT8,
      v1::DATA_TYPE_BOOL,    v1::DATA_TYPE_BIT,      v1::DATA_TYPE_INT32,
      v1::DATA_TYPE_INT64,   v1::DATA_TYPE_INT8,     v1::DATA_TYPE_INT16};
  v1::Tensor* targets = request_.mutable_targets();
  if (shape.size() == 2 && Below(3) == 0) {
    targets->mutable_identity()->set_diagonal(static_cast<int>(Below(5)) - 2);
    return;
  }
  if (shape.size() == 2 && Below(2) == 0) {
    v1::SparseIndices& ones = *targets->mutable_ones();
    ones.add_row_splits(0);
    for (int64_t row = 0; row < shape[0]; ++row) {
      for (int64_t column = 0; column < shape[1]; ++column) {
        if (Below(4) == 0) ones.add_columns(column);
      }
      ones.add_row_splits(ones.columns_size());
    }
    return;
  }
  Set(targets, types[Below(9)], shape,
      [this] { return static_cast<double>(Below(2)); });
}

void RandomRequest::MakeOperand(v1::Tensor* operand,
                                std::vector<int64_t> shape) {
  const v1::DataType types[] = {v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_UINT8,
                                v1::DATA_TYPE_FLOAT64};
  if (Below(3) > 0) {
    for (int64_t& dim : shape) {
      if (Below(2) == 0) dim = 1;
    }
    if (!shape.empty() && shape[0] == 1) shape.erase(shape.begin());
  }
  if (shape.empty()) shape = {1};
  if (request_.logits().shape_size() == 0) shape.clear();
  Set(operand, types[Below(3)], shape,
      [this] { return static_cast<double>(Below(4)); });
}

void RandomRequest::MakeUpstream(const std::vector<int64_t>& shape) {
  std::vector<int64_t> upstream = {1};
  const v1::Reduction reduction = request_.spec().reduction();
  if (reduction == v1::REDUCTION_NONE && Below(2) == 0) upstream = shape;
  if (reduction == v1::REDUCTION_NONE && Below(3) == 0 && !shape.empty()) {
    upstream = shape;
    upstream.back() = 1;
  }
  if (reduction == v1::REDUCTION_ROWS && Below(2) == 0) {
    upstream = {shape[0]};
    if (shape.size() > 1 && Below(2) == 0) upstream.push_back(1);
  }
  Set(request_.mutable_upstream_gradient(), v1::DATA_TYPE_FLOAT32, upstream,
      [this] { return static_cast<double>(1 + Below(7)) / 4; });
}

}  // namespace lossd
