#include "tests/judge/reference_proof.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

#include "tests/judge/line.h"
#include "tests/judge/mpfr_judge.h"
#include "tests/judge/ulp.h"

namespace lossd::exhaustive {
namespace {

constexpr uint32_t kInfinity = 0x7f800000;  // as bits of a float32

// Bits of magnitudes around which something ends.
std::vector<uint32_t> HardPlaces() {
  std::vector<uint32_t> places;
  for (uint32_t exponent = 0; exponent < 255; ++exponent) {
    places.push_back(exponent << 23);
  }
  // ln 2 and half of it (steps of the argument reduction); where e^-x leaves
  // the normal float32 numbers, reaches half the least one, is below every
  // clamp, and ends in float64.
  for (const float x :
       {0.34657359f, 0.69314718f, 1.0397208f, 16.635532f, 17.32868f, 36.04365f,
        87.336548f, 88.029694f, 103.27893f, 103.97208f, 110.0f, 708.3964f,
        745.13322f, 3.4028235e38f}) {
    places.push_back(std::bit_cast<uint32_t>(x));
  }
  return places;
}

std::vector<uint32_t> Magnitudes(uint64_t samples, uint32_t seed) {
  constexpr int kNeighbours = 20;  // on each side
  std::vector<uint32_t> magnitudes;
  for (const uint32_t place : HardPlaces()) {
    for (int k = -kNeighbours; k <= kNeighbours; ++k) {
      const int64_t bits = static_cast<int64_t>(place) + k;
      if (bits >= 0 && bits < kInfinity) {
        magnitudes.push_back(static_cast<uint32_t>(bits));
      }
    }
  }
  std::mt19937 random(seed);
  std::uniform_int_distribution<uint32_t> any(0, kInfinity - 1);
  // Every other one from 2^-30 to 128, where the results are no constants.
  std::uniform_int_distribution<uint32_t> middle(0x30800000, 0x43000000);
  for (uint64_t i = 0; i < samples; ++i) {
    magnitudes.push_back(i % 2 == 0 ? any(random) : middle(random));
  }
  return magnitudes;
}

}  // namespace

ReferenceErrors ProveReference(uint64_t samples, uint32_t seed) {
  ReferenceErrors errors;
  const auto in_ulps = [](double got, const Wide& exact) {
    return static_cast<double>(exact.DistanceOf(got)) *
           InverseUnit(static_cast<double>(exact.high));
  };
  for (const uint32_t magnitude : Magnitudes(samples, seed)) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float x = std::bit_cast<float>(magnitude | sign);
      const Exact got = ExactAt(x);
      const WideElement exact = MpfrCrossEntropy({x, 0});
      errors.loss = std::max(errors.loss, in_ulps(got.loss, exact.loss));
      errors.gradient =
          std::max(errors.gradient, in_ulps(got.gradient, exact.derivative));
      ++errors.logits;
    }
  }
  return errors;
}

}  // namespace lossd::exhaustive
