// Computes tensors that are too large for the tests on the host, with more
// bytes and more elements than 32 bits can count, and tensors in parts.
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <deque>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "tests/kernels/cuda/gpu_fixture.h"

namespace lossd::kernels::cuda {
namespace {

// Returns whether two partials have the same sums, counts and indices, bit for
// bit.
bool SamePartial(const BlockPartial& a, const BlockPartial& b) {
  return std::bit_cast<uint64_t>(a.loss_sum) ==
             std::bit_cast<uint64_t>(b.loss_sum) &&
         std::bit_cast<uint64_t>(a.weight_sum) ==
             std::bit_cast<uint64_t>(b.weight_sum) &&
         a.valid_count == b.valid_count && a.nan_count == b.nan_count &&
         a.nonzero_weight_count == b.nonzero_weight_count &&
         a.first_nan == b.first_nan &&
         a.first_bad_target == b.first_bad_target &&
         a.first_operand_fault == b.first_operand_fault;
}

// Returns the bytes of `count` elements that look random: bits, or floats of
// any size but no NaNs.
std::vector<std::byte> RandomBytes(ElementType type, uint64_t count) {
  std::mt19937 random(7);
  std::vector<std::byte> bytes(ByteSize(type, count));
  if (type == ElementType::kBit) {
    for (std::byte& b : bytes) b = static_cast<std::byte>(random());
    return bytes;
  }
  std::normal_distribution<float> normal(0, 8);
  for (uint64_t i = 0; i < count; ++i) {
    const float value = normal(random);
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (type == ElementType::kFloat32) {
      std::memcpy(bytes.data() + 4 * i, &bits, 4);
    } else {
      const auto upper = static_cast<uint16_t>(bits >> 16);
      std::memcpy(bytes.data() + 2 * i, &upper, 2);
    }
  }
  return bytes;
}

// Returns targets in [0, 1]: bits, or float32.
std::vector<std::byte> RandomTargets(ElementType type, uint64_t count) {
  if (type == ElementType::kBit) return RandomBytes(type, count);
  std::mt19937 random(8);
  std::vector<float> targets(count);
  for (float& t : targets) t = static_cast<float>(random() % 1001) * 1e-3f;
  const auto bytes = std::as_bytes(std::span(targets));
  return {bytes.begin(), bytes.end()};
}

struct Case {
  ElementType type;
  ElementType targets;
  double smoothing;  // the exact loop if not 0
  uint64_t elements;
};

// A tensor that repeats itself every kPeriod elements, and so do its sums.
class Periodic {
 public:
  static constexpr uint64_t kPeriod = 8 * kBlockElements;

  explicit Periodic(const Case& what)
      : logits_(RandomBytes(what.type, kPeriod)),
        targets_(RandomTargets(what.targets, kPeriod)),
        large_logits_(kNowhere, ByteSize(what.type, what.elements)),
        large_targets_(kNowhere, ByteSize(what.targets, what.elements)),
        gradient_(ByteSize(what.type, kPeriod)) {
    small_.options.reduction = Reduction::kSum;  // the scale is 1
    small_.options.label_smoothing = what.smoothing;
    small_.logits.type = small_.gradient_type = what.type;
    small_.targets.type = what.targets;
    large_ = small_;
    SetUp(small_, kPeriod, small_pieces_);
    small_.gradient = gradient_.data();
    SetUp(large_, what.elements, large_pieces_);
    large_.gradient = gradient_.data();  // asked for, but never written
  }

  const Segment& large() const { return large_; }
  const std::vector<std::byte>& logits() const { return logits_; }
  const std::vector<std::byte>& targets() const { return targets_; }

  // Returns the CPU's partials of the first `elements` elements of a period.
  std::vector<BlockPartial> Partials(uint64_t elements) {
    Segment part = small_;
    part.element_count = part.shape.dims[0] = elements;
    std::vector<BlockPartial> partials(BlockCount(part));
    cpu::BestInstructionSet().compute_blocks(part, 1, 0, partials);
    return partials;
  }
  // Returns the gradient that the last Partials() computed.
  const std::vector<std::byte>& gradient() const { return gradient_; }

 private:
  static constexpr const std::byte* kNowhere = nullptr;
  static void SetUp(Segment& segment, uint64_t elements, Piece (&pieces)[2]) {
    segment.shape = {1, {elements}};
    segment.element_count = elements;
    segment.logits.pieces = {&pieces[0], 1};
    segment.targets.pieces = {&pieces[1], 1};
  }

  std::vector<std::byte> logits_, targets_;
  Piece large_logits_, large_targets_;
  Piece small_pieces_[2] = {logits_, targets_};
  Piece large_pieces_[2] = {large_logits_, large_targets_};
  std::vector<std::byte> gradient_;
  Segment small_, large_;
};

// Fills `bytes` bytes at `to` with copies of the period at its start.
void Repeat(const std::vector<std::byte>& period, std::byte* to,
            uint64_t bytes) {
  ASSERT_EQ(
      cudaMemcpy(to, period.data(), period.size(), cudaMemcpyHostToDevice),
      cudaSuccess);
  for (uint64_t done = period.size(); done < bytes; done *= 2) {
    ASSERT_EQ(cudaMemcpy(to + done, to, std::min(done, bytes - done),
                         cudaMemcpyDeviceToDevice),
              cudaSuccess);
  }
}

template <class T>
std::vector<T> Fetch(const std::byte* from, uint64_t count) {
  std::vector<T> values(count);
  EXPECT_EQ(cudaMemcpy(values.data(), from, count * sizeof(T),
                       cudaMemcpyDeviceToHost),
            cudaSuccess);
  return values;
}

// Compares every block's sums, and the gradient at the ends and in the middle.
void ExpectPeriodic(Periodic& periodic, const BatchLayout& layout,
                    const std::byte* output, uint64_t elements) {
  const uint64_t last = elements / Periodic::kPeriod * Periodic::kPeriod;
  const auto partials =
      Fetch<BlockPartial>(output, BlockCount(periodic.large()));
  const std::vector<BlockPartial> expected =
      periodic.Partials(Periodic::kPeriod);
  const ElementType type = periodic.large().gradient_type;
  const std::byte* gradient = output + layout.packed(0).gradient;
  for (uint64_t block = 0; block < last / kBlockElements; ++block) {
    ASSERT_TRUE(SamePartial(partials[block], expected[block % 8])) << block;
  }
  for (uint64_t at = 0; at < last;) {
    ASSERT_EQ(Fetch<std::byte>(gradient + ByteSize(type, at),
                               periodic.gradient().size()),
              periodic.gradient())
        << "from element " << at;
    at += std::max<uint64_t>(Periodic::kPeriod,
                             last / 64 / Periodic::kPeriod * Periodic::kPeriod);
  }
  const std::vector<BlockPartial> end = periodic.Partials(elements - last);
  for (uint64_t k = 0; k < end.size(); ++k) {
    ASSERT_TRUE(SamePartial(partials[last / kBlockElements + k], end[k])) << k;
  }
  const uint64_t bytes = ByteSize(type, elements - last);
  const auto tail = Fetch<std::byte>(gradient + ByteSize(type, last), bytes);
  ASSERT_TRUE(
      std::equal(tail.begin(), tail.end(), periodic.gradient().begin()));
}

TEST_F(GpuKernels, CountBytesAndElementsBeyond32Bits) {
  constexpr uint64_t kOdd = 3 * kBlockElements + 77;
  const Case cases[] = {
      {ElementType::kFloat32, ElementType::kFloat32, 0, (1u << 30) + kOdd},
      {ElementType::kBFloat16, ElementType::kBit, 0,
       (uint64_t{1} << 32) + kOdd},
      {ElementType::kBFloat16, ElementType::kBit, 0.1,
       (uint64_t{1} << 32) + kOdd}};
  for (const Case& one : cases) {
    Periodic periodic(one);
    const BatchItem item = {&periodic.large(), 1};
    const BatchLayout layout({&item, 1});
    size_t free = 0;
    size_t total = 0;
    ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    if (layout.input_bytes() + layout.output_bytes() + (1u << 28) > free) {
      std::printf("not tried, the device has no room: %llu elements\n",
                  static_cast<unsigned long long>(one.elements));
      continue;
    }
    const DeviceBytes input = Allocate(layout.input_bytes());
    const DeviceBytes output = Allocate(layout.output_bytes());
    std::vector<std::byte> tables(layout.table_bytes());
    const PackedBatch batch = layout.At(input.get(), output.get());
    layout.StageTables(batch, tables.data());
    ASSERT_EQ(cudaMemcpy(input.get(), tables.data(), tables.size(),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
    Repeat(periodic.logits(), input.get() + layout.packed(0).logits,
           ByteSize(one.type, one.elements));
    Repeat(periodic.targets(), input.get() + layout.packed(0).targets,
           ByteSize(one.targets, one.elements));
    Launcher launcher;
    ASSERT_EQ(launcher.Load(), cudaSuccess);
    ASSERT_EQ(launcher.Launch(batch, nullptr), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    ASSERT_NO_FATAL_FAILURE(
        ExpectPeriodic(periodic, layout, output.get(), one.elements));
  }
}

// A tensor of bfloat16 logits in parts that begin at multiples of a block, as a
// stream's windows do. All of them are in one batch.
class Parts {
 public:
  Parts(std::span<const std::byte> logits, std::span<const std::byte> targets,
        ElementType targets_type, double smoothing)
      : logits_(logits),
        targets_(targets),
        targets_type_(targets_type),
        smoothing_(smoothing),
        gradient_(logits.size()) {}

  // Adds the next elements.
  void Add(uint64_t count) {
    pieces_.push_back(Cut(logits_, ElementType::kBFloat16, count));
    const Piece* const logits = &pieces_.back();
    pieces_.push_back(Cut(targets_, targets_type_, count));
    Segment& part = segments_.emplace_back();
    part.shape = {1, {count}};
    part.element_count = count;
    part.options.label_smoothing = smoothing_;
    part.logits.type = part.gradient_type = ElementType::kBFloat16;
    part.logits.pieces = {logits, 1};
    part.targets.type = targets_type_;
    part.targets.pieces = {&pieces_.back(), 1};
    part.gradient = gradient_.data() + ByteSize(ElementType::kBFloat16, added_);
    added_ += count;
  }
  uint64_t added() const { return added_; }

  // Compares every block's sum and the gradient with the device's.
  std::vector<double> Compute() {
    std::vector<BatchItem> items;
    for (const Segment& part : segments_) items.emplace_back(&part, 0.37);
    const BatchLayout layout(items);
    const std::vector<std::byte> output = ComputeOnDevice(layout);
    std::vector<double> sums;
    for (size_t k = 0; k < items.size(); ++k) {
      layout.CopyResults(k, output.data());
      for (const BlockPartial& one : layout.Partials(k, output.data())) {
        sums.push_back(one.loss_sum);
      }
    }
    return sums;
  }
  const std::vector<std::byte>& gradient() const { return gradient_; }

 private:
  Piece Cut(std::span<const std::byte> bytes, ElementType type,
            uint64_t count) const {
    return bytes.subspan(ByteSize(type, added_), ByteSize(type, count));
  }

  const std::span<const std::byte> logits_, targets_;
  const ElementType targets_type_;
  const double smoothing_;
  std::vector<std::byte> gradient_;
  std::deque<Piece> pieces_;  // a deque, so that pieces stay in place
  std::deque<Segment> segments_;
  uint64_t added_ = 0;
};

TEST_F(GpuKernels, PartsOfATensorHaveTheBitsOfTheWhole) {
  constexpr uint64_t kElements = 40 * kBlockElements + 123;
  std::mt19937 random(6);
  const auto logits = RandomBytes(ElementType::kBFloat16, kElements);
  for (const double smoothing : {0.0, 0.1}) {
    for (const ElementType type : {ElementType::kFloat32, ElementType::kBit}) {
      const auto targets = RandomTargets(type, kElements);
      Parts whole(logits, targets, type, smoothing);
      whole.Add(kElements);
      Parts parts(logits, targets, type, smoothing);
      while (parts.added() < kElements) {
        parts.Add(std::min(kElements - parts.added(),
                           (1 + random() % 7) * kBlockElements));
      }
      EXPECT_EQ(parts.Compute(), whole.Compute()) << Name(type);
      EXPECT_EQ(parts.gradient(), whole.gradient()) << Name(type);
    }
  }
}

}  // namespace
}  // namespace lossd::kernels::cuda
