#ifndef LOSSD_BENCH_LOAD_SAMPLE_REQUEST_H_
#define LOSSD_BENCH_LOAD_SAMPLE_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lossd/v1/loss_service.pb.h"

namespace lossd::bench {

struct SampleOptions {
  int64_t elements = 64;
  // float32, float64, bfloat16 or float16.
  std::string dtype = "float32";
  // One of those, uint8, bool or bit.
  std::string targets_dtype = "float32";
  // Of the first four; empty: that of the logits.
  std::string gradient_dtype = "";
  uint64_t seed = 1;
};

// A request of one dimension: logits uniform in [-8, 8), targets 0 or 1.
absl::StatusOr<v1::ComputeLossRequest> MakeSample(const SampleOptions& options);

// OK if `reply` is the answer to `sample`: the mean cross-entropy and its
// gradient, to a few units of the dtype's last place. Measuring wrong answers
// is of no use.
absl::Status CheckAnswer(const v1::ComputeLossRequest& sample,
                         const std::string& reply);

// Of the sample's gradient: its type, and the bytes that it takes.
v1::DataType GradientType(const v1::ComputeLossRequest& sample);
size_t GradientBytes(const v1::ComputeLossRequest& sample);

}  // namespace lossd::bench

#endif  // LOSSD_BENCH_LOAD_SAMPLE_REQUEST_H_
