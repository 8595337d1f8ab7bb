// Tests requests that name memory of a GPU, which the host cannot read here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "server/request/bad_elements.h"
#include "server/request/shared_tensors.h"
#include "tests/server/request/reading.h"
#include "tests/server/shared_memory/fake_devices.h"

namespace lossd::request {
namespace {

using shared_memory::FakeDevices;
using shared_memory::RegionTable;
using testing::HasSubstr;
using testing::StartsWith;

constexpr shared_memory::Connection kOwner = 1;

// The requests have six elements, and there are two GPUs and a host region.
class OnADevice : public testing::Test {
 protected:
  OnADevice() {
    for (int gpu = 0; gpu < 2; ++gpu) {
      names_[gpu] =
          table_.RegisterLent(kOwner, FakeDevices::Part(gpu, 0, 4096))->name;
    }
    host_ = table_.Register(kOwner, 4096)->name;
  }

  static void Refer(v1::SharedMemoryRef* ref, const std::string& name,
                    uint64_t offset, uint64_t byte_size) {
    ref->set_region(name);
    ref->set_offset(offset);
    ref->set_byte_size(byte_size);
  }
  void Refer(v1::Tensor* tensor, int gpu, uint64_t offset,
             uint64_t byte_size = 24) {
    Refer(tensor->mutable_shared_memory(), names_[gpu], offset, byte_size);
  }
  void ExpectRefused(const Request& request, const std::string& path,
                     const std::string& says) {
    const Reading reading(request, &table_);
    EXPECT_EQ(reading.status.code(), absl::StatusCode::kInvalidArgument)
        << reading.status;
    EXPECT_THAT(reading.message(), StartsWith(path));
    EXPECT_THAT(reading.message(), HasSubstr(says));
  }

  FakeDevices devices_;
  RegionTable table_{{}, &devices_};
  std::string names_[2];
  std::string host_;
};

TEST_F(OnADevice, TensorsLieWhereTheReferenceSays) {
  Request request = TwoByThree();
  Refer(request.mutable_logits(), 1, 20);
  SetFloats(request.mutable_weights(), {1}, 0);
  Refer(request.mutable_weights(), 1, 100, 4);
  Refer(request.mutable_gradient_destination(), names_[1], 128, 24);
  const Reading reading(request, &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  const kernels::Segment& segment = reading.valid.segment();
  EXPECT_EQ(segment.device, 1);
  EXPECT_TRUE(segment.logits.on_device);
  EXPECT_EQ(segment.logits.pieces[0].data(), FakeDevices::AddressOf(1) + 20);
  EXPECT_FALSE(segment.targets.on_device);
  EXPECT_TRUE(segment.weights.tensor.on_device);
  EXPECT_TRUE(segment.gradient_on_device);
  EXPECT_EQ(segment.gradient, FakeDevices::AddressOf(1) + 128);
  EXPECT_EQ(reading.valid.reply_bytes(), 0u);
}

TEST_F(OnADevice, TheGradientAloneMayLieThereOrOnTheHost) {
  Request request = TwoByThree();
  Refer(request.mutable_gradient_destination(), names_[0], 64, 24);
  const Reading there(request, &table_);
  ASSERT_TRUE(there.status.ok()) << there.status;
  EXPECT_EQ(there.valid.segment().device, 0);
  EXPECT_FALSE(there.valid.segment().logits.on_device);
  EXPECT_TRUE(there.valid.segment().gradient_on_device);
  Refer(request.mutable_targets(), 1, 0);
  Refer(request.mutable_gradient_destination(), host_, 64, 24);
  const Reading here(request, &table_);
  ASSERT_TRUE(here.status.ok()) << here.status;
  EXPECT_EQ(here.valid.segment().device, 1);
  EXPECT_FALSE(here.valid.segment().gradient_on_device);
}

TEST_F(OnADevice, ARequestWithoutSuchMemoryIsForNoDevice) {
  Request request = TwoByThree();
  Refer(request.mutable_logits(), 1, 0);
  Reading reading(request, &table_);
  EXPECT_EQ(reading.valid.segment().device, 1);
  reading.valid.Clear();
  Refer(request.mutable_logits()->mutable_shared_memory(), host_, 0, 24);
  const Reading other(request, &table_);
  EXPECT_EQ(other.valid.segment().device, kernels::kHost);
  EXPECT_FALSE(other.valid.segment().logits.on_device);
}

TEST_F(OnADevice, OneGpuComputesARequest) {
  Request request = TwoByThree();
  Refer(request.mutable_logits(), 0, 0);
  Refer(request.mutable_targets(), 1, 0);
  ExpectRefused(request, "targets.shared_memory: memory of another GPU",
                "logits.shared_memory");
  Refer(request.mutable_targets(), 0, 64);
  Refer(request.mutable_gradient_destination(), names_[1], 128, 24);
  ExpectRefused(request, "gradient_destination: memory of another GPU",
                "logits.shared_memory");
}

TEST_F(OnADevice, ATensorBeginsWhereItsElementsMay) {
  const struct {
    v1::DataType dtype;
    uint64_t width;
  } types[] = {{v1::DATA_TYPE_FLOAT64, 8},  {v1::DATA_TYPE_INT64, 8},
               {v1::DATA_TYPE_FLOAT32, 4},  {v1::DATA_TYPE_INT32, 4},
               {v1::DATA_TYPE_BFLOAT16, 2}, {v1::DATA_TYPE_FLOAT16, 2},
               {v1::DATA_TYPE_UINT8, 1},    {v1::DATA_TYPE_BOOL, 1},
               {v1::DATA_TYPE_BIT, 0}};
  for (const auto& type : types) {
    for (uint64_t offset = 65; offset < 81; ++offset) {
      Request request = TwoByThree();
      request.mutable_targets()->set_dtype(type.dtype);
      Refer(request.mutable_targets(), 0, offset,
            type.width == 0 ? 1 : 6 * type.width);
      if (type.width == 0 || offset % type.width == 0) {
        const Reading reading(request, &table_);
        EXPECT_TRUE(reading.status.ok()) << reading.status;
      } else {
        ExpectRefused(
            request, "targets.shared_memory.offset:",
            absl::StrCat(offset, " is not a multiple of ", type.width));
      }
    }
  }
}

TEST_F(OnADevice, RowsAreComputedFromMemoryOfTheHost) {
  Request request = TwoByThree();
  Refer(request.mutable_logits(), 0, 0);
  for (const auto reduction :
       {v1::REDUCTION_ROWS, v1::REDUCTION_MEAN_OF_ROWS}) {
    request.mutable_spec()->set_reduction(reduction);
    const Reading reading(request, &table_);
    EXPECT_EQ(reading.status.code(), absl::StatusCode::kUnimplemented);
    EXPECT_EQ(reading.message(),
              "spec.reduction: rows of tensors in memory of a GPU; use memory "
              "of the host, or REDUCTION_NONE and add up the losses");
  }
}

TEST_F(OnADevice, AnUpstreamValueIsSent) {
  Request request = TwoByThree();
  SetFloats(request.mutable_upstream_gradient(), {}, 0);
  Refer(request.mutable_upstream_gradient(), 0, 0, 4);
  ExpectRefused(request, "upstream_gradient.shared_memory:", "send it");
  request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  ExpectRefused(request, "upstream_gradient.shared_memory:", "send it");
  request.mutable_upstream_gradient()->add_shape(2);
  request.mutable_upstream_gradient()->add_shape(3);
  Refer(request.mutable_upstream_gradient(), 0, 0);
  const Reading reading(request, &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_TRUE(reading.valid.segment().upstream.tensor.on_device);
}

TEST_F(OnADevice, ADestinationOverNoSourceWhateverTheRegion) {
  const std::string part =
      table_.RegisterLent(kOwner, FakeDevices::Part(0, 128, 1024))->name;
  Request request = TwoByThree();
  Refer(request.mutable_logits(), 0, 140);
  Refer(request.mutable_gradient_destination(), part, 0, 24);
  ExpectRefused(request, "gradient_destination: 24 bytes from 0",
                "overlap with logits.shared_memory, 24 bytes from 140");
  Refer(request.mutable_logits(), 0, 152);
  EXPECT_TRUE(Reading(request, &table_).status.ok());
}

TEST_F(OnADevice, AnEmptyTensorIsNone) {
  Request request;
  SetFloats(request.mutable_logits(), {0}, 0);
  SetFloats(request.mutable_targets(), {0}, 0);
  Refer(request.mutable_logits(), 0, 4096, 0);
  Refer(request.mutable_gradient_destination(), names_[0], 4096, 0);
  const Reading reading(request, &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_FALSE(reading.valid.segment().logits.present());
}

TEST_F(OnADevice, ABadTargetIsNamedWithoutItsValue) {
  Request request = TwoByThree();
  Refer(request.mutable_targets(), 0, 0);
  const Reading reading(request, &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  kernels::Totals totals;
  totals.first_bad_target = 4;
  const absl::Status status =
      CheckElements(reading.valid.segment(), totals, reading.valid.shapes());
  EXPECT_EQ(status.message(),
            "targets[4]: not in [0, 1] (element [1, 1] of shape [2, 3])");
}

}  // namespace
}  // namespace lossd::request
