// Requests with random tensors, and the answers that they must get.
#ifndef LOSSD_BENCH_LOAD_SAMPLE_REQUEST_H_
#define LOSSD_BENCH_LOAD_SAMPLE_REQUEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

// The types of logits and gradients, and those of targets.
inline constexpr std::array kSampleTypes = {"float32",       "float64",
                                            "bfloat16",      "float16",
                                            "float8_e4m3fn", "float8_e5m2"};
inline constexpr std::array kTargetTypes = {
    "float32",     "float64", "bfloat16", "float16", "float8_e4m3fn",
    "float8_e5m2", "uint8",   "bool",     "bit"};

struct SampleOptions {
  int64_t elements = 64;
  // One of kSampleTypes.
  std::string dtype = "float32";
  // One of kTargetTypes.
  std::string targets_dtype = "float32";
  // One of kSampleTypes; empty is the type of the logits.
  std::string gradient_dtype = "";
  uint64_t seed = 1;
};

// Returns a request of one dimension, with logits uniform in [-8, 8) and
// targets 0 or 1. It asks for the mean; for the sum if the gradient is float8,
// where that of a mean of many elements is 0. INVALID_ARGUMENT for a dtype that
// is none of those above.
absl::StatusOr<v1::ComputeLossRequest> MakeSample(const SampleOptions& options);

// Returns OK if `reply` is the answer to `sample`: its cross-entropy and the
// gradient, to a few units of the dtype's last place. INTERNAL otherwise,
// because it is of no use to measure wrong answers.
absl::Status CheckAnswer(const v1::ComputeLossRequest& sample,
                         const std::string& reply);

// Return the type of the sample's gradient, and the bytes that it takes.
v1::DataType GradientType(const v1::ComputeLossRequest& sample);
size_t GradientBytes(const v1::ComputeLossRequest& sample);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_SAMPLE_REQUEST_H_
