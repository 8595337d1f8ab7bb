#include "kernels/cpu/named_set.h"

#include <gtest/gtest.h>

#include <string>

namespace lossd::kernels::cpu {
namespace {

TEST(InstructionSetsTest, EverySetIsFoundByItsName) {
  for (const InstructionSet& set : InstructionSets()) {
    EXPECT_EQ(FindInstructionSet(set.name), &set) << set.name;
  }
}

TEST(InstructionSetsTest, TheCaseOfLettersDoesNotMatter) {
  EXPECT_EQ(FindInstructionSet("scalar"), &InstructionSets().back());
  EXPECT_EQ(FindInstructionSet("Scalar"), &InstructionSets().back());
}

TEST(InstructionSetsTest, NoNameIsTheBestSet) {
  EXPECT_EQ(FindInstructionSet(""), &BestInstructionSet());
}

// The best set of a machine with AVX-512 has vectors of 512 bits.
TEST(InstructionSetsTest, Avx512IsTheBestOfItsSetsAndNeverAnother) {
  const InstructionSet* const avx512 = FindInstructionSet("avx512");
  if (BestInstructionSet().name.starts_with("AVX3")) {
    EXPECT_EQ(avx512, &BestInstructionSet());
  } else {
    EXPECT_EQ(avx512, nullptr);
  }
}

TEST(InstructionSetsTest, AnUnknownNameIsNoSet) {
  for (const char* name : {"avx", "avx2 ", "AVX3_", "none"}) {
    EXPECT_EQ(FindInstructionSet(name), nullptr) << name;
  }
}

TEST(InstructionSetsTest, TheNamesAreInTheirOrder) {
  const std::string names = InstructionSetNames();
  EXPECT_TRUE(names.starts_with(BestInstructionSet().name)) << names;
  EXPECT_TRUE(names.ends_with("SCALAR")) << names;
}

}  // namespace
}  // namespace lossd::kernels::cpu
