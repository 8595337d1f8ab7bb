// The effect of types, bit for bit: narrow logits are computed like float32
// logits of the same values, results are rounded once, and targets by their
// ones are the targets that they stand for.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "element_type/half.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels {
namespace {

constexpr unsigned kSegments = 400;

// Returns `bytes`, elements of type From, with each element rounded to `type`.
template <class From>
std::vector<std::byte> Rounded(const std::vector<std::byte>& bytes,
                               ElementType type) {
  const size_t n = bytes.size() / sizeof(From);
  std::vector<std::byte> rounded(ByteSize(type, n));
  WithStoredFloat(type, [&](auto stored) {
    for (size_t i = 0; i < n; ++i) {
      From value;
      std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
      StoreRounded(value, &stored);
      std::memcpy(rounded.data() + i * sizeof(stored), &stored, sizeof(stored));
    }
  });
  return rounded;
}

std::vector<double> LogitsOf(const Segment& segment) {
  std::vector<double> logits(segment.element_count);
  for (size_t i = 0; i < logits.size(); ++i) {
    logits[i] = ElementAt(segment.logits, i);
  }
  return logits;
}

// The arithmetic's type is float64 for float64 logits, float32 for others.
TEST(Types, AGradientOfAnyTypeIsTheArithmeticsRoundedOnce) {
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    const bool wide = owned->segment.logits.type == ElementType::kFloat64;
    owned->SetGradientType(wide ? ElementType::kFloat64
                                : ElementType::kFloat32);
    SegmentAnswer expected = owned->Compute(cpu::BestInstructionSet());
    const std::vector<std::byte> exact = expected.gradient;
    const std::vector<std::byte> second = expected.second_derivative;
    for (const ElementType type : kFloatTypes) {
      owned->SetGradientType(type);
      expected.gradient =
          wide ? Rounded<double>(exact, type) : Rounded<float>(exact, type);
      expected.second_derivative =
          wide ? Rounded<double>(second, type) : Rounded<float>(second, type);
      for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
        ASSERT_EQ(Difference(owned->Compute(set), expected), "")
            << Name(type) << ", " << set.name << ", seed " << seed;
      }
    }
  }
}

TEST(Types, NarrowLogitsAreComputedAsFloat32OnesOfTheSameValues) {
  int compared = 0;
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    Segment& s = owned->segment;
    if (!IsNarrow(s.logits.type)) continue;
    ++compared;
    const SegmentAnswer answer = owned->Compute(cpu::BestInstructionSet());
    const std::vector<double> logits = LogitsOf(s);
    s.logits.type = ElementType::kFloat32;
    owned->SetLogits(logits);
    const SegmentAnswer expected = owned->Compute(cpu::BestInstructionSet());
    ASSERT_EQ(Difference(answer, expected), "") << "seed " << seed;
  }
  EXPECT_GT(compared, 50);
}

TEST(Types, LossesOfAnyTypeAreTheArithmeticsRoundedOnce) {
  int compared = 0;
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    Segment& s = owned->segment;
    if (s.losses == nullptr) continue;
    ++compared;
    const bool wide = s.logits.type == ElementType::kFloat64;
    owned->WantLosses(wide ? ElementType::kFloat64 : ElementType::kFloat32);
    SegmentAnswer expected = owned->Compute(cpu::BestInstructionSet());
    const std::vector<std::byte> exact = expected.losses;
    for (const ElementType type : kFloatTypes) {
      owned->WantLosses(type);
      expected.losses =
          wide ? Rounded<double>(exact, type) : Rounded<float>(exact, type);
      for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
        ASSERT_EQ(Difference(owned->Compute(set), expected), "")
            << Name(type) << ", " << set.name << ", seed " << seed;
      }
    }
  }
  EXPECT_GT(compared, 50);
}

TEST(Types, EveryHalfLogitIsWidenedAlikeByEveryInstructionSet) {
  for (const ElementType half :
       {ElementType::kBFloat16, ElementType::kFloat16}) {
    std::vector<uint16_t> patterns(0x10000);
    std::iota(patterns.begin(), patterns.end(), uint16_t{0});
    const Piece piece = std::as_bytes(std::span(patterns));
    OwnedSegment owned(half, {patterns.size()});
    owned.segment.logits.pieces = {&piece, 1};
    owned.SetTargets(ElementType::kFloat32,
                     std::vector<double>(patterns.size(), 0.25));
    owned.SetGradientType(ElementType::kFloat32);
    OwnedSegment wide(ElementType::kFloat32, {patterns.size()});
    wide.SetLogits(LogitsOf(owned.segment));
    wide.segment.targets = owned.segment.targets;
    const SegmentAnswer expected = wide.Compute(cpu::BestInstructionSet());
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      EXPECT_EQ(Difference(owned.Compute(set), expected), "")
          << set.name << Name(half);
    }
  }
}

// Returns the middles between neighbours of a half type, the numbers next to
// them, and numbers beyond the largest.
template <class Half, class T>
std::vector<double> NearTies() {
  using Bits = decltype(Half::bits);
  std::vector<double> values = {std::numeric_limits<T>::max(),
                                std::numeric_limits<T>::infinity(),
                                -std::numeric_limits<T>::infinity()};
  for (Bits bits = 0; std::isfinite(FloatOf(Half{bits})); ++bits) {
    const double from = FloatOf(Half{bits});
    const double to = FloatOf(Half{static_cast<Bits>(bits + 1)});
    const T middle =
        static_cast<T>((from + (std::isfinite(to) ? to : from)) / 2);
    for (const T sign : {T{1}, T{-1}}) {
      values.push_back(sign * std::nextafter(middle, T{0}));
      values.push_back(sign * middle);
      values.push_back(sign * std::nextafter(middle, T{INFINITY}));
    }
  }
  return values;
}

// Where the derivative is 1 the gradient is the weight.
template <class Half, class T>
void ExpectEveryTieRounded(ElementType logits, ElementType half) {
  std::vector<double> values = NearTies<Half, T>();
  std::erase(values, 0);  // a weight of 0 loses its sign
  OwnedSegment owned(logits, {values.size()});
  owned.segment.options.reduction = Reduction::kSum;
  owned.SetLogits(std::vector<double>(values.size(), 800));
  owned.SetOnes({});
  owned.SetWeights(values, {1}, logits);
  owned.SetGradientType(half);
  const Piece weights = owned.segment.weights.tensor.pieces[0];
  const std::vector<std::byte> expected =
      Rounded<T>({weights.begin(), weights.end()}, half);
  for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
    EXPECT_EQ(owned.Compute(set).gradient == expected, true)
        << set.name << " " << Name(logits) << " to " << Name(half);
  }
}

TEST(Types, EveryInstructionSetRoundsEveryTieAlike) {
  using enum ElementType;
  ExpectEveryTieRounded<BFloat16, float>(kFloat32, kBFloat16);
  ExpectEveryTieRounded<Float16, float>(kFloat32, kFloat16);
  ExpectEveryTieRounded<Float8E4M3Fn, float>(kFloat32, kFloat8E4M3Fn);
  ExpectEveryTieRounded<Float8E5M2, float>(kFloat32, kFloat8E5M2);
  ExpectEveryTieRounded<BFloat16, double>(kFloat64, kBFloat16);
  ExpectEveryTieRounded<Float16, double>(kFloat64, kFloat16);
  ExpectEveryTieRounded<Float8E4M3Fn, double>(kFloat64, kFloat8E4M3Fn);
  ExpectEveryTieRounded<Float8E5M2, double>(kFloat64, kFloat8E5M2);
}

// A float64 result near the middle of two bfloat16 numbers. float32 would round
// it to the middle, and the even one of the two is the wrong one.
TEST(Types, AFloat64GradientReachesAHalfTypeWithoutFloat32Between) {
  OwnedSegment owned(ElementType::kFloat64, {1});
  owned.SetLogits({800});
  owned.SetTargets(ElementType::kUint8, {0});
  owned.segment.options.reduction = Reduction::kSum;
  // The derivative there is 1, so the gradient is the scale.
  owned.segment.upstream_scalar = 1 + 0x1p-8 + 0x1p-40;
  for (const ElementType type :
       {ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16}) {
    owned.SetGradientType(type);
    owned.Compute(cpu::BestInstructionSet());
    const double expected = type == ElementType::kFloat32 ? 1 + 0x1p-8
                            : type == ElementType::kFloat64
                                ? 1 + 0x1p-8 + 0x1p-40
                                : 1 + 0x1p-7;
    EXPECT_EQ(owned.gradient()[0], expected) << Name(type);
  }
}

TEST(Types, WhatAHalfTypeCannotHoldIsInfiniteAndEveryNanIsCanonical) {
  for (const ElementType type :
       {ElementType::kBFloat16, ElementType::kFloat16}) {
    OwnedSegment owned(type, {3});
    owned.SetLogits({3e4, -3e4, std::numeric_limits<double>::quiet_NaN()});
    owned.SetTargets(ElementType::kFloat16, {0, 1, 1});
    owned.segment.options.reduction = Reduction::kNone;
    owned.segment.options.loss_weight = 2e38;
    owned.WantLosses();
    for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
      const SegmentAnswer answer = owned.Compute(set);
      const uint16_t infinity =
          type == ElementType::kBFloat16 ? 0x7f80 : 0x7c00;
      const uint16_t nan = type == ElementType::kBFloat16 ? 0x7fc0 : 0x7e00;
      uint16_t losses[3], gradient[3];
      std::memcpy(losses, answer.losses.data(), sizeof(losses));
      std::memcpy(gradient, answer.gradient.data(), sizeof(gradient));
      EXPECT_EQ(losses[0], infinity) << set.name << Name(type);
      EXPECT_EQ(losses[1], infinity) << set.name << Name(type);
      EXPECT_EQ(losses[2], nan) << set.name << Name(type);
      EXPECT_EQ(gradient[2], nan) << set.name << Name(type);
      // bfloat16 holds 2e38, float16 does not.
      if (type == ElementType::kFloat16) {
        EXPECT_EQ(gradient[0], infinity) << set.name;
        EXPECT_EQ(gradient[1], infinity | 0x8000) << set.name;
      }
    }
  }
}

TEST(Types, OnesAreTheSameTargetsSentDense) {
  int compared = 0;
  for (unsigned seed = 0; seed < kSegments; ++seed) {
    const auto owned = RandomSegment(seed);
    Segment& s = owned->segment;
    if (s.targets.present() || s.element_count == 0) continue;
    ++compared;
    std::vector<double> dense(s.element_count);
    for (const uint64_t i : s.ones.indices) dense[i] = 1;
    for (uint64_t k = 0; k < s.ones.count; ++k) {
      dense[s.ones.first + k * s.ones.stride] = 1;
    }
    const SegmentAnswer whole = owned->Compute(cpu::BestInstructionSet());
    const SegmentAnswer in_steps = owned->Compute(cpu::BestInstructionSet(), 1);
    ASSERT_EQ(Difference(whole, in_steps), "") << "seed " << seed;
    for (size_t i = 0; i < dense.size(); ++i) {
      ASSERT_EQ(TargetAt(s, i), dense[i]) << "seed " << seed;
    }
    for (const ElementType type :
         {ElementType::kBit, ElementType::kInt64, ElementType::kFloat16}) {
      owned->SetTargets(type, dense);
      for (const cpu::InstructionSet& set : cpu::InstructionSets()) {
        ASSERT_EQ(Difference(owned->Compute(set), whole), "")
            << Name(type) << ", " << set.name << ", seed " << seed;
      }
    }
  }
  EXPECT_GT(compared, 50);
}

}  // namespace
}  // namespace lossd::kernels
