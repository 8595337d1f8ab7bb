#include "element_type/element_type.h"

#include <gtest/gtest.h>

#include <set>

#include "element_type/half.h"

namespace lossd {
namespace {

// The names are labels of metrics and words of messages: a change breaks
// dashboards.
TEST(ElementTypes, HaveTheNamesThatFrameworksUse) {
  EXPECT_EQ(Name(ElementType::kFloat32), "float32");
  EXPECT_EQ(Name(ElementType::kFloat64), "float64");
  EXPECT_EQ(Name(ElementType::kBFloat16), "bfloat16");
  EXPECT_EQ(Name(ElementType::kFloat16), "float16");
  EXPECT_EQ(Name(ElementType::kUint8), "uint8");
  EXPECT_EQ(Name(ElementType::kBool), "bool");
  EXPECT_EQ(Name(ElementType::kBit), "bit");
  EXPECT_EQ(Name(ElementType::kInt32), "int32");
  EXPECT_EQ(Name(ElementType::kInt64), "int64");
  EXPECT_EQ(Name(ElementType::kInt8), "int8");
  EXPECT_EQ(Name(ElementType::kInt16), "int16");
  EXPECT_EQ(Name(ElementType::kFloat8E4M3Fn), "float8_e4m3fn");
  EXPECT_EQ(Name(ElementType::kFloat8E5M2), "float8_e5m2");
}

TEST(ElementTypes, AreAllListedInTheOrderOfTheEnum) {
  for (size_t i = 0; i < kElementTypes.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(kElementTypes[i]), i);
    EXPECT_NE(Name(kElementTypes[i]), "unknown");
  }
  EXPECT_EQ(Name(static_cast<ElementType>(kElementTypes.size())), "unknown");
}

TEST(ElementTypes, AreAsLargeAsTheTypesThatStoreThem) {
  for (const ElementType type : kElementTypes) {
    if (type == ElementType::kBit) continue;
    WithStored(type, [&](auto stored) {
      EXPECT_EQ(ByteSize(type, 3), 3 * sizeof(stored)) << Name(type);
    });
  }
}

TEST(ElementTypes, BitsShareTheirBytes) {
  EXPECT_EQ(ByteSize(ElementType::kBit, 0), 0u);
  EXPECT_EQ(ByteSize(ElementType::kBit, 1), 1u);
  EXPECT_EQ(ByteSize(ElementType::kBit, 8), 1u);
  EXPECT_EQ(ByteSize(ElementType::kBit, 9), 2u);
}

TEST(ElementTypes, TheLargestCountDoesNotOverflow) {
  EXPECT_EQ(ByteSize(ElementType::kFloat64, uint64_t{1} << 60),
            uint64_t{1} << 63);
}

TEST(ElementTypes, SixAreFloatingPoint) {
  std::set<ElementType> floats;
  for (const ElementType type : kElementTypes) {
    if (IsFloat(type)) floats.insert(type);
  }
  EXPECT_EQ(floats,
            std::set<ElementType>(kFloatTypes.begin(), kFloatTypes.end()));
}

}  // namespace
}  // namespace lossd
