#include "tests/judge/kernel_run.h"

#include <bit>
#include <cstring>
#include <limits>

namespace lossd::judge {

using kernels::ElementType;
using kernels::Reduction;
using kernels::cpu::InstructionSet;

KernelRun::KernelRun(size_t size)
    : size_(size),
      gradient_(size / 16 + 1),
      second_(size / 16 + 1),
      losses_(size / 16 + 1) {
  for (const int t : {0, 1}) {
    float_targets_[t].assign(size, static_cast<float>(t));
    byte_targets_[t].assign(size, static_cast<uint8_t>(t));
  }
  segment_.shape.rank = 1;
  segment_.shape.dims[0] = segment_.element_count = size;
  segment_.logits = {ElementType::kFloat32, {&logits_piece_, 1}};
  segment_.targets.pieces = {&targets_piece_, 1};
  partials_.resize(kernels::BlockCount(segment_));
}

std::vector<uint64_t> KernelRun::SumsOf(const InstructionSet& set) {
  set.compute_blocks(segment_, kernels::GradientScale(segment_, 1), 0,
                     partials_);
  std::vector<uint64_t> sums;
  for (const auto& partial : partials_) {
    // The sign and payload of a sum's NaN depend on the machine.
    const double sum = partial.loss_sum == partial.loss_sum
                           ? partial.loss_sum
                           : std::numeric_limits<double>::quiet_NaN();
    sums.push_back(std::bit_cast<uint64_t>(sum));
  }
  return sums;
}

uint64_t KernelRun::nan_count() const {
  uint64_t count = 0;
  for (const auto& partial : partials_) count += partial.nan_count;
  return count;
}

void KernelRun::Compute(const InstructionSet& set,
                        std::span<const float> logits, int t,
                        Results& results) {
  logits_piece_ = std::as_bytes(logits);
  targets_piece_ = std::as_bytes(std::span(float_targets_[t]));
  segment_.targets.type = ElementType::kFloat32;
  segment_.options.reduction = Reduction::kNone;
  segment_.losses = std::as_writable_bytes(std::span(losses_)).data();
  segment_.gradient = std::as_writable_bytes(std::span(gradient_)).data();
  segment_.second_derivative =
      std::as_writable_bytes(std::span(second_)).data();
  sums_ = SumsOf(set);
  results.losses.resize(size_);
  results.gradient.resize(size_);
  results.second.resize(size_);
  std::memcpy(results.losses.data(), losses_.data(), size_ * sizeof(float));
  std::memcpy(results.gradient.data(), gradient_.data(), size_ * sizeof(float));
  std::memcpy(results.second.data(), second_.data(), size_ * sizeof(float));
}

bool KernelRun::OtherPathsAgree(const InstructionSet& set, int t,
                                const Results& results) {
  segment_.options.reduction = Reduction::kSum;
  segment_.losses = nullptr;
  bool agree = true;
  for (const bool bytes : {false, true}) {
    targets_piece_ = bytes ? std::as_bytes(std::span(byte_targets_[t]))
                           : std::as_bytes(std::span(float_targets_[t]));
    segment_.targets.type = bytes ? ElementType::kUint8 : ElementType::kFloat32;
    for (const bool second : {true, false}) {
      segment_.gradient = std::as_writable_bytes(std::span(gradient_)).data();
      segment_.second_derivative =
          second ? std::as_writable_bytes(std::span(second_)).data() : nullptr;
      std::memset(segment_.gradient, 0xff, size_ * sizeof(float));
      if (second) std::memset(second_.data(), 0xff, size_ * sizeof(float));
      agree &= SumsOf(set) == sums_;
      agree &= std::memcmp(gradient_.data(), results.gradient.data(),
                           size_ * sizeof(float)) == 0;
      agree &= std::memcmp(second_.data(), results.second.data(),
                           size_ * sizeof(float)) == 0;
    }
  }
  segment_.gradient = nullptr;
  return agree && SumsOf(set) == sums_;
}

}  // namespace lossd::judge
