// A batch of segments of every kind, laid out for a device, with the right
// answers.
#ifndef LOSSD_TESTS_SERVER_EXECUTION_CUDA_SEGMENT_BATCH_H_
#define LOSSD_TESTS_SERVER_EXECUTION_CUDA_SEGMENT_BATCH_H_

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/cpu_kernel.h"
#include "kernels/cuda/batch_layout.h"
#include "tests/kernels/random_segment.h"

namespace lossd::execution::cuda {

// The random segments of some seeds, in that order.
class SegmentBatch {
 public:
  // Takes the seeds first_seed .. first_seed + count - 1.
  SegmentBatch(unsigned first_seed, unsigned count)
      : SegmentBatch(Seeds(first_seed, count)) {}

  explicit SegmentBatch(std::vector<unsigned> seeds)
      : seeds_(std::move(seeds)) {
    std::vector<kernels::cuda::BatchItem> items;
    for (const unsigned seed : seeds_) {
      owned_.push_back(kernels::RandomSegment(seed));
      expected_.push_back(
          owned_.back()->Compute(kernels::cpu::BestInstructionSet()));
      kernels::Segment& segment = owned_.back()->segment;
      items.push_back({&segment, kernels::GradientScale(
                                     segment, expected_.back().normalizer)});
    }
    layout_ = std::make_unique<kernels::cuda::BatchLayout>(items);
  }

  const kernels::cuda::BatchLayout& layout() const { return *layout_; }

  // Returns how a device's `output` differs from the CPU's answers; "" if no
  // bit does.
  std::string Differences(const std::byte* output) {
    std::string differences;
    for (size_t k = 0; k < owned_.size(); ++k) {
      layout_->CopyResults(k, output);
      const auto partials = layout_->Partials(k, output);
      const std::string difference = kernels::Difference(
          owned_[k]->AnswerFrom({partials.begin(), partials.end()},
                                expected_[k].normalizer),
          expected_[k]);
      if (difference.empty()) continue;
      absl::StrAppend(&differences, "seed ", seeds_[k], ": ", difference, "; ");
    }
    return differences;
  }

 private:
  static std::vector<unsigned> Seeds(unsigned first, unsigned count) {
    std::vector<unsigned> seeds(count);
    std::iota(seeds.begin(), seeds.end(), first);
    return seeds;
  }

  const std::vector<unsigned> seeds_;
  std::vector<std::unique_ptr<kernels::OwnedSegment>> owned_;
  std::vector<kernels::SegmentAnswer> expected_;
  std::unique_ptr<kernels::cuda::BatchLayout> layout_;
};

}  // namespace lossd::execution::cuda

#endif  // LOSSD_TESTS_SERVER_EXECUTION_CUDA_SEGMENT_BATCH_H_
