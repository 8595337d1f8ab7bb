#include "tests/fuzz/requests.h"

#include <cstdint>
#include <cstring>
#include <utility>

namespace lossd::fuzz {
namespace {

using Request = v1::ComputeLossRequest;

// Returns elements of a float type that can be logits and targets: 0, 1/2, 1.
std::string Floats(v1::DataType dtype, size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(i % 3) / 2;
    const double wide = value;
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    if (dtype == v1::DATA_TYPE_FLOAT64) {
      bytes.append(reinterpret_cast<const char*>(&wide), sizeof(wide));
    } else if (dtype == v1::DATA_TYPE_BFLOAT16) {
      bytes.append(reinterpret_cast<const char*>(&bits) + 2, 2);
    } else if (dtype == v1::DATA_TYPE_FLOAT16) {
      constexpr uint16_t kHalves[] = {0, 0x3800, 0x3c00};
      bytes.append(reinterpret_cast<const char*>(&kHalves[i % 3]), 2);
    } else {
      bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
  }
  return bytes;
}

size_t IntegerSize(v1::DataType dtype) {
  if (dtype == v1::DATA_TYPE_INT64) return 8;
  if (dtype == v1::DATA_TYPE_INT16) return 2;
  return dtype == v1::DATA_TYPE_INT32 ? 4 : 1;
}

// Returns elements of any dtype, all of them good targets.
std::string Elements(v1::DataType dtype, size_t count) {
  if (dtype == v1::DATA_TYPE_BIT) return std::string((count + 7) / 8, '\x5a');
  if (dtype <= v1::DATA_TYPE_FLOAT16) return Floats(dtype, count);
  std::string bytes;
  for (size_t i = 0; i < count; ++i) {
    bytes += static_cast<char>(i % 2);
    bytes.append(IntegerSize(dtype) - 1, '\0');
  }
  return bytes;
}

void Set(v1::Tensor* tensor, v1::DataType dtype, std::vector<int64_t> shape) {
  tensor->set_dtype(dtype);
  size_t count = 1;
  for (const int64_t dim : shape) {
    tensor->add_shape(dim);
    count *= static_cast<size_t>(dim);
  }
  tensor->set_data(Elements(dtype, count));
}

Request Plain(v1::DataType logits = v1::DATA_TYPE_FLOAT32,
              v1::DataType targets = v1::DATA_TYPE_FLOAT32,
              std::vector<int64_t> shape = {3, 5}) {
  Request request;
  Set(request.mutable_logits(), logits, shape);
  Set(request.mutable_targets(), targets, shape);
  return request;
}

void AddTypes(std::vector<Request>* all) {
  for (int logits = v1::DATA_TYPE_FLOAT32; logits <= v1::DATA_TYPE_FLOAT16;
       ++logits) {
    for (int targets = v1::DATA_TYPE_FLOAT32; targets <= v1::DATA_TYPE_INT16;
         ++targets) {
      Request request = Plain(static_cast<v1::DataType>(logits),
                              static_cast<v1::DataType>(targets));
      request.mutable_spec()->set_gradient_dtype(
          static_cast<v1::DataType>(1 + (logits + targets) % 4));
      all->push_back(std::move(request));
    }
  }
}

void AddStorages(std::vector<Request>* all) {
  Request ones = Plain();
  for (const int64_t split : {0, 2, 2, 3}) {
    ones.mutable_targets()->mutable_ones()->add_row_splits(split);
  }
  for (const int64_t column : {0, 4, 1}) {
    ones.mutable_targets()->mutable_ones()->add_columns(column);
  }
  all->push_back(ones);
  for (const int64_t diagonal : {0, 2, -1}) {
    Request identity = Plain();
    identity.mutable_targets()->Clear();
    identity.mutable_targets()->mutable_identity()->set_diagonal(diagonal);
    all->push_back(identity);
  }
  Request values;
  for (const double value : {-1.0, 0.5, 2.0}) {
    values.mutable_logits()->add_values(value);
    values.mutable_targets()->add_values(value > 0 ? 1 : 0);
  }
  all->push_back(values);
  for (int dtype = v1::DATA_TYPE_FLOAT32; dtype <= v1::DATA_TYPE_INT16;
       ++dtype) {
    values.mutable_targets()->set_dtype(static_cast<v1::DataType>(dtype));
    all->push_back(values);
  }
  Request shared = Plain();
  auto* memory = shared.mutable_targets()->mutable_shared_memory();
  memory->set_region("region");
  memory->set_offset(64);
  memory->set_byte_size(60);
  all->push_back(shared);
  *shared.mutable_gradient_destination() = *memory;
  all->push_back(shared);
}

// Sets the parameters that the kind reads.
void SetParameters(int number, v1::LossSpec* spec) {
  if (spec->kind() == v1::LOSS_KIND_SIGMOID_FOCAL) {
    spec->set_focal_gamma(number / 2.0);
    if (number > 3) spec->set_focal_alpha(0.25);
  }
  if (spec->kind() == v1::LOSS_KIND_ASYMMETRIC) {
    spec->set_asymmetric_gamma_negative(4);
    spec->set_asymmetric_margin(0.05);
    spec->set_detach_focus(number > 3);
  }
  if (spec->kind() >= v1::LOSS_KIND_POLY) spec->set_focal_gamma(number / 2.0);
  if (spec->kind() == v1::LOSS_KIND_POLY) {
    spec->set_poly_epsilon(number - 2);
    spec->set_soft_targets(v1::SOFT_TARGET_RULE_MIXTURE);
  }
  if (number % 2 == 0) {
    spec->set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
  }
  if (spec->reduction() == v1::REDUCTION_NONE) {
    spec->set_losses_dtype(v1::DATA_TYPE_FLOAT64);
  }
}

// Adds every kind with every normalizer and every reduction.
void AddSpecs(std::vector<Request>* all) {
  constexpr int kSum = v1::NORMALIZER_CALLER + 1;
  for (int kind = v1::LossKind_MIN + 1; kind <= v1::LossKind_MAX; ++kind) {
    for (int normalizer = 1; normalizer <= kSum + 1; ++normalizer) {
      Request request = Plain();
      v1::LossSpec& spec = *request.mutable_spec();
      spec.set_kind(static_cast<v1::LossKind>(kind));
      if (normalizer < kSum) {
        spec.set_normalizer(static_cast<v1::Normalizer>(normalizer));
      } else {
        spec.set_reduction(normalizer == kSum ? v1::REDUCTION_SUM
                                              : v1::REDUCTION_NONE);
      }
      if (normalizer == v1::NORMALIZER_CALLER) spec.set_normalizer_value(2.5);
      SetParameters(normalizer, &spec);
      if (normalizer % 2 == 0) spec.set_ignore_target(0.5);
      if (normalizer == 1 && kind != v1::LOSS_KIND_VARIFOCAL) {
        spec.set_label_smoothing(0.1);
        spec.set_label_smoothing_prior(0.25);
      }
      spec.set_loss_weight(-2);
      if (normalizer == 5) spec.set_gradient(v1::GRADIENT_MODE_OMIT);
      spec.set_nan_policy(v1::NAN_POLICY_PROPAGATE);
      spec.set_target_range(v1::TARGET_RANGE_ANY);
      spec.set_target_shape_rule(
          static_cast<v1::TargetShapeRule>((kind - 1) % 3));
      request.set_request_id("a request");
      all->push_back(std::move(request));
    }
  }
}

// Adds rows and their mean with every normalizer, and with upstream gradients
// of every shape.
void AddRows(std::vector<Request>* all) {
  const std::vector<int64_t> upstreams[] = {{}, {1}, {3}, {3, 1}, {3, 5}, {5}};
  for (int number = 0; number < 12; ++number) {
    Request request = Plain();
    v1::LossSpec& spec = *request.mutable_spec();
    const bool is_mean = number % 2 == 1;
    spec.set_reduction(is_mean ? v1::REDUCTION_MEAN_OF_ROWS
                               : v1::REDUCTION_ROWS);
    spec.set_normalizer(static_cast<v1::Normalizer>(1 + number / 2));
    if (spec.normalizer() == v1::NORMALIZER_CALLER) {
      spec.set_normalizer_value(2.5);
    }
    if (number % 3 == 0) spec.set_ignore_target(0.5);
    if (number % 4 == 0) {
      spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
      spec.set_losses_dtype(v1::DATA_TYPE_BFLOAT16);
    }
    if (number % 3 != 1) {
      Set(request.mutable_weights(), v1::DATA_TYPE_FLOAT32, {3, 5});
    }
    if (!is_mean) {
      Set(request.mutable_upstream_gradient(), v1::DATA_TYPE_FLOAT32,
          upstreams[number / 2]);
    }
    all->push_back(std::move(request));
  }
}

void AddShapes(std::vector<Request>* all) {
  using Shape = std::vector<int64_t>;
  for (const Shape& shape :
       {Shape{5}, Shape{1, 5}, Shape{3, 1}, Shape{3, 5}, Shape{1}, Shape{}}) {
    Request request = Plain();
    request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
    Set(request.mutable_weights(), v1::DATA_TYPE_FLOAT32, shape);
    Set(request.mutable_pos_weight(), v1::DATA_TYPE_FLOAT64, shape);
    Set(request.mutable_upstream_gradient(), v1::DATA_TYPE_BFLOAT16,
        shape.size() == 2 ? Shape{3, 5} : Shape{1});
    all->push_back(std::move(request));
  }
  for (const Shape& shape : {Shape{}, Shape{0}, Shape{4, 0, 3}, Shape{1, 1, 7},
                             Shape(12, 1), Shape{2, 3, 2, 1, 2, 2}}) {
    all->push_back(Plain(v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_UINT8, shape));
  }
  // This request has more than a block of elements, in half types and bits.
  all->push_back(Plain(v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_BIT, {2, 1030}));
}

}  // namespace

std::vector<Request> EveryKind() {
  std::vector<Request> all;
  AddTypes(&all);
  AddStorages(&all);
  AddSpecs(&all);
  AddRows(&all);
  AddShapes(&all);
  return all;
}

std::vector<std::string> OddMessages() {
  using std::string_literals::operator""s;
  const std::string plain = Plain().SerializeAsString();
  return {
      plain + plain,
      "\x12\x05\x1a\x03"
      "abc"
      "\x12\x02\x2a\x00"s,  // data, then shared memory
      "\x12\x02\x32\x00\x12\x05\x1a\x03"
      "abc"s,                       // ones, then data
      "\x12\x04\x3a\x00\x1a\x00"s,  // identity, then empty data
      "\x92\x00\x03\x1a\x01"
      "a"s,  // an overlong tag
      "\x12\x83\x00\x1a\x01"
      "a"s,  // an overlong length
      "\x12\x04\x1a\x81\x00"
      "a"s,                         // an overlong length within a tensor
      "\x13\x14"s,                  // a group
      "\x12\x03\x1b\x08\x01\x1c"s,  // a group within a tensor
      "\xfb\x07\x0a\x01"
      "a\xfc\x07"s,  // an unknown group
      "\xfa\x07\x03"
      "abc"s,  // unknown bytes
      "\xf9\x07"
      "12345678"s,  // unknown fixed64
      "\xfd\x07"
      "1234"s,  // unknown fixed32
      "\x12\x0a\x22\x08"
      "12345678"s,  // packed values
      "\x12\x09\x21"
      "12345678"s,                  // a value that is not packed
      "\x12\x02\x10\x05"s,          // a dimension that is not packed
      "\x42\x02\xff\xfe"s,          // not UTF-8
      "\x12\xff\xff\xff\xff\x0f"s,  // far too long
      "\x02\x00"s,                  // field 0
      "\x0c"s,                      // the end of a group that did not begin
      "\x12\x7f\x1a\x7d"s,          // cut short
      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,  // ten bytes of varint
  };
}

}  // namespace lossd::fuzz
