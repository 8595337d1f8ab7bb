// Compares results for tensors that already lie on the device, at any element's
// alignment, with the CPU backend, bit for bit. The kernels' code runs on the
// host.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <iterator>
#include <memory>
#include <new>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include "kernels/cuda/batch_layout.h"
#include "tests/kernels/cuda/host_warp.h"
#include "tests/kernels/cuda/on_device_segment.h"
#include "tests/kernels/random_segment.h"

namespace lossd::kernels::cuda {
namespace {

// Memory that is aligned like a batch's.
class Memory {
 public:
  explicit Memory(uint64_t bytes)
      : bytes_(static_cast<std::byte*>(::operator new(bytes + 1, kAlignment))) {
    std::memset(bytes_.get(), 0xa5, bytes);
  }
  std::byte* get() const { return bytes_.get(); }
  static void Copy(std::byte* to, const std::byte* from, uint64_t bytes) {
    std::memcpy(to, from, bytes);
  }

 private:
  static constexpr std::align_val_t kAlignment{kTensorAlignment};
  struct Free {
    void operator()(std::byte* bytes) const {
      ::operator delete(bytes, kAlignment);
    }
  };
  std::unique_ptr<std::byte, Free> bytes_;
};

// A batch of owned segments, some of whose tensors are on the device.
class Batch {
 public:
  void Add(std::unique_ptr<OwnedSegment> owned, unsigned which,
           uint64_t shift) {
    expected_.push_back(owned->Compute(cpu::BestInstructionSet()));
    on_device_.emplace_back(*owned, which, shift);
    owned_.push_back(std::move(owned));
  }
  BatchLayout LayOut() const {
    std::vector<BatchItem> items;
    for (size_t k = 0; k < on_device_.size(); ++k) {
      const Segment& segment = on_device_[k].segment();
      items.push_back(
          {&segment, GradientScale(segment, expected_[k].normalizer)});
    }
    return BatchLayout(items);
  }
  void ExpectTheBitsOfTheCpu() {
    const BatchLayout layout = LayOut();
    const Memory input(layout.input_bytes());
    const Memory output(layout.output_bytes());
    const PackedBatch batch = layout.At(input.get(), output.get());
    layout.Stage(batch, input.get());
    for (const bool look_up : {false, true}) {
      ComputeOnHost(batch, look_up);
      for (size_t k = 0; k < owned_.size(); ++k) {
        owned_[k]->ForgetResults();
        layout.CopyResults(k, output.get());
        on_device_[k].FetchDerivatives();
        const auto partials = layout.Partials(k, output.get());
        EXPECT_EQ(
            Difference(owned_[k]->AnswerFrom({partials.begin(), partials.end()},
                                             expected_[k].normalizer),
                       expected_[k]),
            "")
            << "segment " << k << (look_up ? ", looked up" : "");
      }
    }
  }

 private:
  std::vector<std::unique_ptr<OwnedSegment>> owned_;
  std::vector<SegmentAnswer> expected_;
  std::deque<OnDeviceSegment<Memory>> on_device_;
};

constexpr unsigned kAll = 63;

TEST(OnDeviceTensors, GiveTheBitsOfTheCpuInBatchesOfEveryKind) {
  std::mt19937 random(3);
  for (unsigned seed = 0; seed < 600; seed += 8) {
    SCOPED_TRACE(testing::Message() << "from seed " << seed);
    Batch batch;
    for (unsigned k = 0; k < 8; ++k) {
      batch.Add(RandomSegment(seed + k), random() % (kAll + 1), random() % 9);
    }
    batch.ExpectTheBitsOfTheCpu();
    if (testing::Test::HasFailure()) break;
  }
}

constexpr ElementType kLogits[] = {
    ElementType::kFloat32,      ElementType::kFloat64,
    ElementType::kBFloat16,     ElementType::kFloat16,
    ElementType::kFloat8E4M3Fn, ElementType::kFloat8E5M2};
constexpr ElementType kTargets[] = {
    ElementType::kFloat32, ElementType::kFloat64, ElementType::kBFloat16,
    ElementType::kFloat16, ElementType::kUint8,   ElementType::kBit};

std::unique_ptr<OwnedSegment> SegmentWithoutOptions(ElementType logits,
                                                    ElementType targets,
                                                    std::mt19937& random) {
  const uint64_t count = 2 * kBlockElements + random() % 300;
  auto owned =
      std::make_unique<OwnedSegment>(logits, std::vector<uint64_t>{count});
  std::vector<double> values(count);
  std::normal_distribution<double> normal(0, 5);
  for (double& x : values) x = normal(random);
  owned->SetLogits(values);
  for (double& t : values) t = random() % 2;
  owned->SetTargets(targets, values);
  return owned;
}

// A vector load at an unaligned address would lose a device.
TEST(OnDeviceTensors, MayBeginAtAnyElementInEveryFastVariant) {
  std::mt19937 random(4);
  for (const uint64_t shift : {0, 1, 2, 3, 4, 5, 7, 8, 15}) {
    SCOPED_TRACE(testing::Message() << shift << " elements off");
    Batch batch;
    for (const ElementType logits : kLogits) {
      for (const ElementType targets : kTargets) {
        for (unsigned which = 1; which < 8; ++which) {
          batch.Add(SegmentWithoutOptions(logits, targets, random), which,
                    shift);
        }
      }
    }
    batch.ExpectTheBitsOfTheCpu();
  }
}

TEST(OnDeviceTensors, TakeNothingOfTheBatch) {
  std::mt19937 random(5);
  Batch on_device;
  Batch staged;
  for (const ElementType type : kLogits) {
    on_device.Add(SegmentWithoutOptions(type, type, random), kAll, 1);
    staged.Add(SegmentWithoutOptions(type, type, random), 0, 0);
  }
  const BatchLayout layout = on_device.LayOut();
  EXPECT_EQ(layout.input_bytes(), layout.table_bytes());
  EXPECT_EQ(layout.output_bytes(),
            layout.At(nullptr, nullptr).block_count * sizeof(BlockPartial));
  EXPECT_GT(staged.LayOut().input_bytes(), 100'000u);
}

// The counts that give the gradient's scale are the CPU's.
TEST(OnDeviceTensors, AreCountedAsTheCpuCounts) {
  for (unsigned seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    const auto owned = RandomSegment(seed);
    std::vector<BlockPartial> expected(BlockCount(owned->segment));
    cpu::CountBlocks(owned->segment, 0, expected);
    const OnDeviceSegment<Memory> on_device(*owned, kAll, 1);
    Segment segment = on_device.segment();
    segment.gradient = segment.second_derivative = segment.losses = nullptr;
    segment.gradient_on_device = false;
    segment.second_derivative_on_device = false;
    const BatchItem item = {&segment, 0};
    const BatchLayout layout({&item, 1});
    const Memory input(layout.input_bytes());
    const Memory output(layout.output_bytes());
    const PackedBatch batch = layout.At(input.get(), output.get());
    layout.Stage(batch, input.get());
    ComputeOnHost(batch);
    const auto partials = layout.Partials(0, output.get());
    ASSERT_EQ(partials.size(), expected.size());
    // As bits: both may be the canonical NaN.
    EXPECT_EQ(
        std::bit_cast<uint64_t>(NormalizerOf(segment, Combine(partials))),
        std::bit_cast<uint64_t>(NormalizerOf(segment, Combine(expected))));
    for (size_t k = 0; k < expected.size(); ++k) {
      EXPECT_EQ(partials[k].valid_count, expected[k].valid_count);
      EXPECT_EQ(partials[k].nonzero_weight_count,
                expected[k].nonzero_weight_count);
      if (!std::isnan(expected[k].weight_sum)) {
        EXPECT_EQ(partials[k].weight_sum, expected[k].weight_sum);
      } else {
        EXPECT_TRUE(std::isnan(partials[k].weight_sum));
      }
    }
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace lossd::kernels::cuda
