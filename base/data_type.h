// The contract's DataType as the ElementType of our own code.
#ifndef LOSSD_BASE_DATA_TYPE_H_
#define LOSSD_BASE_DATA_TYPE_H_

#include <optional>

#include "element_type/element_type.h"
#include "lossd/v1/tensor.pb.h"

namespace lossd {

v1::DataType ToProto(ElementType type);

// Returns nothing for a number that is not of the enum, and float32 for
// DATA_TYPE_UNSPECIFIED.
std::optional<ElementType> FromProto(v1::DataType dtype);

}  // namespace lossd

#endif  // LOSSD_BASE_DATA_TYPE_H_
