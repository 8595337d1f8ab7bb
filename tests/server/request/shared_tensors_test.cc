#include "server/request/shared_tensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tests/server/request/reading.h"

namespace lossd::request {
namespace {

using shared_memory::RegionTable;
using testing::HasSubstr;
using testing::StartsWith;

constexpr shared_memory::Connection kOwner = 1;
constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

// The requests have six float32 elements, and the region has one page.
class InSharedMemory : public testing::Test {
 protected:
  InSharedMemory() {
    auto made = table_.Register(kOwner, 4096);
    EXPECT_TRUE(made.ok()) << made.status();
    name_ = made->name;
    size_ = made->byte_size;
  }

  void Refer(v1::SharedMemoryRef* ref, uint64_t offset, uint64_t byte_size) {
    ref->set_region(name_);
    ref->set_offset(offset);
    ref->set_byte_size(byte_size);
  }
  void Refer(v1::Tensor* tensor, uint64_t offset, uint64_t byte_size) {
    Refer(tensor->mutable_shared_memory(), offset, byte_size);
  }

  Request Logits(uint64_t offset, uint64_t byte_size) {
    Request request = TwoByThree();
    Refer(request.mutable_logits(), offset, byte_size);
    return request;
  }

  void ExpectRefused(const Request& request, absl::StatusCode code,
                     const std::string& path, const std::string& says) {
    const Reading reading(request, &table_);
    EXPECT_EQ(reading.status.code(), code) << reading.status;
    EXPECT_THAT(reading.message(), StartsWith(path));
    EXPECT_THAT(reading.message(), HasSubstr(says));
  }

  RegionTable table_{{}};
  std::string name_;
  uint64_t size_ = 0;
};

TEST_F(InSharedMemory, TensorsLieWhereTheReferenceSays) {
  Request request = Logits(20, 24);
  Refer(request.mutable_targets(), size_ - 24, 24);
  SetFloats(request.mutable_weights(), {3}, 0);
  Refer(request.mutable_weights(), 100, 12);
  Refer(request.mutable_gradient_destination(), 128, 24);
  const Reading reading(request, &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  std::byte* const base = (*table_.Find(name_))->bytes().data();
  const kernels::Segment& segment = reading.valid.segment();
  EXPECT_EQ(segment.logits.pieces[0].data(), base + 20);
  EXPECT_EQ(segment.logits.pieces[0].size(), 24U);
  EXPECT_EQ(segment.targets.pieces[0].data(), base + size_ - 24);
  EXPECT_EQ(segment.weights.tensor.pieces[0].data(), base + 100);
  EXPECT_EQ(segment.gradient, base + 128);
  EXPECT_FALSE(reading.valid.gradient_in_reply());
  EXPECT_EQ(reading.valid.reply_bytes(), 0U);
  EXPECT_EQ(reading.valid.converted_bytes(), 0U);
}

TEST_F(InSharedMemory, BytesBeyondTheRegionAreRefused) {
  const std::string path = "logits.shared_memory:";
  for (const uint64_t offset : {size_ - 23, size_, size_ + 1, uint64_t{1} << 63,
                                kMost - 24, kMost - 23, kMost}) {
    ExpectRefused(Logits(offset, 24), absl::StatusCode::kInvalidArgument, path,
                  absl::StrCat("24 bytes from ", offset));
  }
}

TEST_F(InSharedMemory, AByteSizeThatIsNotTheShapesIsRefused) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{23}, uint64_t{25}, kMost}) {
    ExpectRefused(
        Logits(0, size), absl::StatusCode::kInvalidArgument,
        "logits.shared_memory.byte_size: ", "float32 of shape [2, 3] takes 24");
  }
}

TEST_F(InSharedMemory, ADestinationBeyondTheRegionIsRefused) {
  for (const uint64_t offset : {size_, uint64_t{1} << 63, kMost - 63}) {
    Request request = TwoByThree();
    Refer(request.mutable_gradient_destination(), offset, 24);
    ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                  "gradient_destination:", "are not within the region's");
  }
}

TEST_F(InSharedMemory, ADestinationHasTheSizeOfItsDtype) {
  Request request = TwoByThree();
  request.mutable_spec()->set_gradient_dtype(v1::DATA_TYPE_BFLOAT16);
  Refer(request.mutable_gradient_destination(), 0, 24);
  ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                "gradient_destination.byte_size: 24", "takes 12");
  request.mutable_gradient_destination()->set_byte_size(12);
  EXPECT_TRUE(Reading(request, &table_).status.ok());
}

TEST_F(InSharedMemory, ADestinationBeginsAtAMultipleOf64) {
  for (const uint64_t offset : {uint64_t{1}, uint64_t{32}, uint64_t{127}}) {
    Request request = TwoByThree();
    Refer(request.mutable_gradient_destination(), offset, 24);
    ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                  "gradient_destination.offset:", "not a multiple of 64");
  }
}

TEST_F(InSharedMemory, ADestinationOverNoSourceOfTheRequest) {
  const auto field_of = [](Request& request, wire::Field field) {
    switch (field) {
      case wire::Field::kLogits:
        return request.mutable_logits();
      case wire::Field::kTargets:
        return request.mutable_targets();
      case wire::Field::kWeights:
        return request.mutable_weights();
      case wire::Field::kPosWeight:
        return request.mutable_pos_weight();
      default:
        return request.mutable_upstream_gradient();
    }
  };
  for (const wire::Field field : wire::kAllFields) {
    Request request = TwoByThree();
    request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
    v1::Tensor* const tensor = field_of(request, field);
    if (field > wire::Field::kTargets) SetFloats(tensor, {2, 3}, 0);
    Refer(request.mutable_gradient_destination(), 128, 24);
    const std::string name(Name(field));
    for (const uint64_t offset : {105, 128, 140, 151}) {
      Refer(tensor, offset, 24);
      ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                    "gradient_destination:",
                    absl::StrCat("overlap with ", name,
                                 ".shared_memory, 24 bytes from ", offset));
    }
    for (const uint64_t offset : {104, 152}) {  // they touch
      Refer(tensor, offset, 24);
      EXPECT_TRUE(Reading(request, &table_).status.ok()) << name << offset;
    }
  }
}

TEST_F(InSharedMemory, TheSecondDerivativeHasADestinationOfItsOwn) {
  Request request = TwoByThree();
  request.mutable_spec()->set_second_derivative(
      v1::SECOND_DERIVATIVE_MODE_RETURN);
  Refer(request.mutable_gradient_destination(), 128, 24);
  Refer(request.mutable_second_derivative_destination(), 192, 24);
  const Reading reading(request, &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  std::byte* const base = (*table_.Find(name_))->bytes().data();
  EXPECT_EQ(reading.valid.segment().second_derivative, base + 192);
  EXPECT_FALSE(reading.valid.second_derivative_in_reply());
  EXPECT_EQ(reading.valid.reply_bytes(), 0U);

  Refer(request.mutable_second_derivative_destination(), 128, 24);
  ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                "second_derivative_destination: 24 bytes from 128",
                "overlap with gradient_destination, 24 bytes from 128");
  Refer(request.mutable_second_derivative_destination(), 192, 12);
  ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                "second_derivative_destination.byte_size: 12",
                "the second derivative of shape [2, 3] takes 24");
  Refer(request.mutable_second_derivative_destination(), 200, 24);
  ExpectRefused(request, absl::StatusCode::kInvalidArgument,
                "second_derivative_destination.offset: 200", "64");
  Refer(request.mutable_second_derivative_destination(), 192, 24);
  request.mutable_spec()->clear_second_derivative();
  ExpectRefused(
      request, absl::StatusCode::kInvalidArgument,
      "second_derivative_destination:", "is not SECOND_DERIVATIVE_MODE_RETURN");
}

TEST_F(InSharedMemory, AForeignNameIsNotFound) {
  Request request = Logits(0, 24);
  for (const std::string& name :
       {std::string(), std::string(32, '0'), name_ + "0", name_.substr(1),
        std::string(1 << 20, 'x')}) {
    request.mutable_logits()->mutable_shared_memory()->set_region(name);
    ExpectRefused(request, absl::StatusCode::kNotFound,
                  "logits.shared_memory.region:", "no region");
  }
}

TEST_F(InSharedMemory, AStaleNameIsAFailedPrecondition) {
  table_.ReleaseAll(kOwner);
  ExpectRefused(Logits(0, 24), absl::StatusCode::kFailedPrecondition,
                "logits.shared_memory.region:", "is gone");
  Request request = TwoByThree();
  Refer(request.mutable_gradient_destination(), 0, 24);
  ExpectRefused(request, absl::StatusCode::kFailedPrecondition,
                "gradient_destination.region:", "is gone");
}

TEST_F(InSharedMemory, ARequestHoldsItsRegionUntilItIsCleared) {
  Reading reading(Logits(0, 24), &table_);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  table_.ReleaseAll(kOwner);
  EXPECT_EQ(table_.bytes(), static_cast<int64_t>(size_));
  EXPECT_EQ(kernels::ElementAt(reading.valid.segment().logits, 5), 0);
  reading.valid.Clear();
  EXPECT_EQ(table_.bytes(), 0);
}

TEST_F(InSharedMemory, ARefusedRequestHoldsNothingAfterItsClear) {
  Request request = Logits(0, 24);
  Refer(request.mutable_targets(), size_, 24);
  Reading reading(request, &table_);
  EXPECT_FALSE(reading.status.ok());
  reading.valid.Clear();
  table_.ReleaseAll(kOwner);
  EXPECT_EQ(table_.bytes(), 0);
}

TEST_F(InSharedMemory, AnEmptyTensorMayLieAtTheEnd) {
  Request request;
  SetFloats(request.mutable_logits(), {0}, 0);
  SetFloats(request.mutable_targets(), {0}, 0);
  Refer(request.mutable_logits(), size_, 0);
  Refer(request.mutable_gradient_destination(), size_, 0);
  const Reading reading(request, &table_);
  EXPECT_TRUE(reading.status.ok()) << reading.status;
}

// Two bytes of logits have ten bytes of results: 2.1 GiB. No memory is touched.
TEST(ReplySize, ResultsThatNoMessageHoldsAreRefused) {
  constexpr int64_t kCount = int64_t{220} << 20;
  RegionTable table({});
  const auto made = table.Register(kOwner, 2 * kCount);
  if (!made.ok()) GTEST_SKIP() << made.status();
  Request request;
  request.mutable_spec()->set_gradient_dtype(v1::DATA_TYPE_FLOAT64);
  request.mutable_targets()->mutable_identity();
  v1::Tensor& logits = *request.mutable_logits();
  logits.set_dtype(v1::DATA_TYPE_BFLOAT16);
  logits.add_shape(kCount >> 16);
  logits.add_shape(int64_t{1} << 16);
  logits.mutable_shared_memory()->set_region(made->name);
  logits.mutable_shared_memory()->set_byte_size(2 * kCount);
  EXPECT_TRUE(Reading(request, &table).status.ok());
  request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  const Reading reading(request, &table);
  EXPECT_TRUE(absl::IsInvalidArgument(reading.status)) << reading.status;
  EXPECT_THAT(reading.message(), HasSubstr("and a reply holds"));
}

}  // namespace
}  // namespace lossd::request
