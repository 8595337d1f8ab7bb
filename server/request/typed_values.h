// Converts `repeated double values`, which people type, to elements of a type.
#ifndef LOSSD_SERVER_REQUEST_TYPED_VALUES_H_
#define LOSSD_SERVER_REQUEST_TYPED_VALUES_H_

#include <google/protobuf/repeated_field.h>

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "kernels/sigmoid_loss.h"

namespace lossd::request {

// Stores `values` in `out` as elements of `type`. Floating-point types round to
// nearest. Errors: INVALID_ARGUMENT, naming the index, for a finite value that
// a floating-point type cannot hold, for infinity where it has none, and for a
// value that an integer type does not hold exactly.
absl::Status StoreValues(absl::string_view path,
                         const google::protobuf::RepeatedField<double>& values,
                         kernels::ElementType type,
                         std::vector<std::byte>* out);

// Returns the value of `type` that is nearest to `value`; a floating-point type
// takes values beyond its largest one to infinity, if it has one. NaN becomes
// NaN in a floating-point type, else 0.
double NearestElement(kernels::ElementType type, double value);

}  // namespace lossd::request

#endif  // LOSSD_SERVER_REQUEST_TYPED_VALUES_H_
