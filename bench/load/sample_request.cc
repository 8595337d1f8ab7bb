#include "bench/load/sample_request.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cpp/tensor/float8.h"
#include "client/cpp/tensor/half.h"

namespace lossd::bench {
namespace {

// Fills the tensor with `values` as elements of T.
template <typename T>
void Fill(v1::DataType dtype, const std::vector<double>& values,
          v1::Tensor& tensor) {
  std::string& data = *tensor.mutable_data();
  data.resize(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T element = static_cast<T>(values[i]);
    std::memcpy(data.data() + i * sizeof(T), &element, sizeof(T));
  }
  tensor.set_dtype(dtype);
  tensor.add_shape(static_cast<int64_t>(values.size()));
}

void FillHalves(v1::DataType dtype, const std::vector<double>& values,
                v1::Tensor& tensor) {
  std::string& data = *tensor.mutable_data();
  data.resize(values.size() * 2);
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = client::DoubleToHalf(dtype, values[i]).value_or(0);
    std::memcpy(data.data() + i * 2, &half, 2);
  }
  tensor.set_dtype(dtype);
  tensor.add_shape(static_cast<int64_t>(values.size()));
}

void FillFloat8(v1::DataType dtype, const std::vector<double>& values,
                v1::Tensor& tensor) {
  std::string& data = *tensor.mutable_data();
  for (const double value : values) {
    data += static_cast<char>(client::DoubleToFloat8(dtype, value).value_or(0));
  }
  tensor.set_dtype(dtype);
  tensor.add_shape(static_cast<int64_t>(values.size()));
}

void FillBits(const std::vector<double>& values, v1::Tensor& tensor) {
  std::string& data = *tensor.mutable_data();
  data.resize((values.size() + 7) / 8);
  for (size_t i = 0; i < values.size(); ++i) {
    const int bit = values[i] == 0 ? 0 : 1 << (i % 8);
    data[i / 8] = static_cast<char>(data[i / 8] | bit);
  }
  tensor.set_dtype(v1::DATA_TYPE_BIT);
  tensor.add_shape(static_cast<int64_t>(values.size()));
}

// Fills the tensor with `values` as elements of a dtype, by its name.
absl::Status FillNamed(const std::string& dtype,
                       const std::vector<double>& values, bool floats_only,
                       v1::Tensor& tensor) {
  if (dtype == "float32") {
    Fill<float>(v1::DATA_TYPE_FLOAT32, values, tensor);
  } else if (dtype == "float64") {
    Fill<double>(v1::DATA_TYPE_FLOAT64, values, tensor);
  } else if (dtype == "bfloat16") {
    FillHalves(v1::DATA_TYPE_BFLOAT16, values, tensor);
  } else if (dtype == "float16") {
    FillHalves(v1::DATA_TYPE_FLOAT16, values, tensor);
  } else if (dtype == "float8_e4m3fn") {
    FillFloat8(v1::DATA_TYPE_FLOAT8_E4M3FN, values, tensor);
  } else if (dtype == "float8_e5m2") {
    FillFloat8(v1::DATA_TYPE_FLOAT8_E5M2, values, tensor);
  } else if (dtype == "bit" && !floats_only) {
    FillBits(values, tensor);
  } else if (dtype == "uint8" && !floats_only) {
    Fill<uint8_t>(v1::DATA_TYPE_UINT8, values, tensor);
  } else if (dtype == "bool" && !floats_only) {
    Fill<uint8_t>(v1::DATA_TYPE_BOOL, values, tensor);
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype \"", dtype, "\" is not one that lossbench sends"));
  }
  return absl::OkStatus();
}

// Returns the bytes of an element of a floating-point type.
size_t WidthOf(v1::DataType dtype) {
  if (dtype == v1::DATA_TYPE_FLOAT64) return 8;
  if (client::IsFloat8(dtype)) return 1;
  return client::IsHalf(dtype) ? 2 : 4;
}

// Returns an element exactly: every dtype here is a subset of float64.
double ElementAt(const v1::Tensor& tensor, size_t i) {
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT64) {
    double value = 0;
    std::memcpy(&value, tensor.data().data() + i * 8, 8);
    return value;
  }
  if (tensor.dtype() == v1::DATA_TYPE_FLOAT32) {
    float value = 0;
    std::memcpy(&value, tensor.data().data() + i * 4, 4);
    return value;
  }
  if (client::IsHalf(tensor.dtype())) {
    uint16_t half = 0;
    std::memcpy(&half, tensor.data().data() + i * 2, 2);
    return client::HalfToDouble(tensor.dtype(), half);
  }
  if (client::IsFloat8(tensor.dtype())) {
    return client::Float8ToDouble(tensor.dtype(),
                                  static_cast<uint8_t>(tensor.data()[i]));
  }
  if (tensor.dtype() == v1::DATA_TYPE_BIT) {
    return (static_cast<unsigned char>(tensor.data()[i / 8]) >> (i % 8)) & 1;
  }
  return static_cast<unsigned char>(tensor.data()[i]);
}

// The error that rounding to a type may add to a gradient element: half a unit
// of its last place, and half of the type's least step.
struct Rounding {
  double relative, least;
};

Rounding RoundingOf(v1::DataType dtype) {
  if (dtype == v1::DATA_TYPE_BFLOAT16) return {0x1p-8, 0x1p-134};
  if (dtype == v1::DATA_TYPE_FLOAT16) return {0x1p-11, 0x1p-25};
  if (dtype == v1::DATA_TYPE_FLOAT32) return {0x1p-23, 0};
  if (dtype == v1::DATA_TYPE_FLOAT8_E4M3FN) return {0x1p-4, 0x1p-10};
  if (dtype == v1::DATA_TYPE_FLOAT8_E5M2) return {0x1p-3, 0x1p-17};
  return {0, 0};
}

}  // namespace

absl::StatusOr<v1::ComputeLossRequest> MakeSample(
    const SampleOptions& options) {
  if (options.elements < 1) {
    return absl::InvalidArgumentError("elements: must be at least 1");
  }
  std::mt19937_64 random(options.seed);
  std::vector<double> logits(static_cast<size_t>(options.elements));
  std::vector<double> targets(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = static_cast<double>(random() >> 11) * 0x1p-49 - 8;
    targets[i] = static_cast<double>(random() & 1);
  }
  v1::ComputeLossRequest request;
  absl::Status status =
      FillNamed(options.dtype, logits, true, *request.mutable_logits());
  status.Update(FillNamed(options.targets_dtype, targets, false,
                          *request.mutable_targets()));
  v1::Tensor gradient;  // for its type alone
  if (!options.gradient_dtype.empty()) {
    status.Update(FillNamed(options.gradient_dtype, {}, true, gradient));
    request.mutable_spec()->set_gradient_dtype(gradient.dtype());
  }
  if (!status.ok()) return status;
  if (client::IsFloat8(GradientType(request))) {
    request.mutable_spec()->set_reduction(v1::REDUCTION_SUM);
  }
  return request;
}

v1::DataType GradientType(const v1::ComputeLossRequest& sample) {
  const v1::DataType asked = sample.spec().gradient_dtype();
  return asked == v1::DATA_TYPE_UNSPECIFIED ? sample.logits().dtype() : asked;
}

size_t GradientBytes(const v1::ComputeLossRequest& sample) {
  return static_cast<size_t>(sample.logits().shape(0)) *
         WidthOf(GradientType(sample));
}

absl::Status CheckAnswer(const v1::ComputeLossRequest& sample,
                         const std::string& reply) {
  v1::ComputeLossResponse response;
  if (!response.ParseFromString(reply)) {
    return absl::InternalError("the reply is not a ComputeLossResponse");
  }
  const v1::DataType dtype = GradientType(sample);
  const auto count = static_cast<size_t>(sample.logits().shape(0));
  if (response.gradient().dtype() != dtype ||
      response.gradient().data().size() != GradientBytes(sample)) {
    return absl::InternalError("the reply's gradient has the wrong size");
  }
  const bool is_sum = sample.spec().reduction() == v1::REDUCTION_SUM;
  const double n = is_sum ? 1 : static_cast<double>(count);
  const Rounding rounding = RoundingOf(dtype);
  const double tolerance =
      sample.logits().dtype() == v1::DATA_TYPE_FLOAT64 ? 1e-14 : 1e-6;
  double sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const double x = ElementAt(sample.logits(), i);
    const double t = ElementAt(sample.targets(), i);
    sum += std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
    const double gradient = 1 / (1 + std::exp(-x)) - t;
    const double got = ElementAt(response.gradient(), i) * n;
    const double off =
        tolerance + rounding.relative * std::abs(gradient) + rounding.least * n;
    if (!(std::abs(got - gradient) <= off)) {
      return absl::InternalError(absl::StrCat("gradient[", i, "] of a sum is ",
                                              got, ", expected ", gradient));
    }
  }
  const double loss = sum / n;
  if (!(std::abs(response.loss() - loss) <= tolerance * (1 + loss))) {
    return absl::InternalError(
        absl::StrCat("loss is ", response.loss(), ", expected ", loss));
  }
  return absl::OkStatus();
}

}  // namespace lossd::bench
