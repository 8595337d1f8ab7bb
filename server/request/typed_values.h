// Between `repeated double values`, which people type, and elements of a type.
#ifndef LOSSD_SERVER_REQUEST_TYPED_VALUES_H_
#define LOSSD_SERVER_REQUEST_TYPED_VALUES_H_

#include <google/protobuf/repeated_field.h>

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::request {

// Stores `values` as elements of `type`. Floating-point types round to nearest;
// a finite value that they cannot hold, and a value that an integer type does
// not hold exactly, is INVALID_ARGUMENT and named with its index.
absl::Status StoreValues(absl::string_view path,
                         const google::protobuf::RepeatedField<double>& values,
                         kernels::ElementType type,
                         std::vector<std::byte>* out);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_TYPED_VALUES_H_
