#include "base/data_type.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace lossd {
namespace {

TEST(DataTypes, AreTheElementTypesOfTheirNames) {
  for (const ElementType type : kElementTypes) {
    const std::string name(Name(type));
    EXPECT_EQ(v1::DataType_Name(ToProto(type)),
              absl::StrCat("DATA_TYPE_", absl::AsciiStrToUpper(name)));
    EXPECT_EQ(FromProto(ToProto(type)), type) << name;
  }
}

TEST(DataTypes, UnspecifiedIsFloat32AndUnknownIsNone) {
  EXPECT_EQ(FromProto(v1::DATA_TYPE_UNSPECIFIED), ElementType::kFloat32);
  EXPECT_FALSE(FromProto(static_cast<v1::DataType>(77)).has_value());
}

}  // namespace
}  // namespace lossd
