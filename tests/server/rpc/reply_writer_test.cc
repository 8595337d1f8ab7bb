#include "server/rpc/reply_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.pb.h"
#include "tests/server/request/reading.h"

namespace lossd::rpc {
namespace {

// A request for the gradient of `count` logits, as the server has read it.
struct Asked {
  Asked(size_t count, bool as_values, v1::Reduction reduction) {
    v1::ComputeLossRequest request;
    request.mutable_spec()->set_reduction(reduction);
    for (v1::Tensor* tensor :
         {request.mutable_logits(), request.mutable_targets()}) {
      tensor->add_shape(static_cast<int64_t>(count));
      if (as_values) {
        for (size_t i = 0; i < count; ++i) tensor->add_values(0);
      } else {
        tensor->set_data(std::string(count * sizeof(float), '\0'));
      }
    }
    const grpc::Slice slice(request.SerializeAsString());
    EXPECT_TRUE(parser.Parse(grpc::ByteBuffer(&slice, 1)).ok());
    EXPECT_TRUE(valid.Read(parser).ok());
  }
  wire::RequestParser parser;
  request::ValidRequest valid;
};

v1::ComputeLossResponse Parse(const grpc::ByteBuffer& bytes) {
  grpc::Slice flat;
  EXPECT_TRUE(bytes.DumpToSingleSlice(&flat).ok());
  v1::ComputeLossResponse response;
  EXPECT_TRUE(
      response.ParseFromArray(flat.begin(), static_cast<int>(flat.size())));
  return response;
}

Buffer Counting(BufferPool& pool, size_t count, float first) {
  Buffer buffer = pool.Take(count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    const float value = first + static_cast<float>(i);
    std::memcpy(buffer.data() + i * sizeof(float), &value, sizeof(float));
  }
  return buffer;
}

// Allocations fail once `allocations_left` of them have succeeded.
int allocations_left = 0;
void* AllocateSome(size_t alignment, size_t size) {
  if (allocations_left == 0) return nullptr;
  --allocations_left;
  return std::aligned_alloc(alignment, size);
}

TEST(ResultBuffers, AreOfTheResultsSize) {
  BufferPool pool(0);
  const Asked asked(10, false, v1::REDUCTION_NONE);
  const absl::StatusOr<ResultBuffers> results =
      TakeResultBuffers(asked.valid, pool);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->losses.size(), 40);
  EXPECT_EQ(results->gradient.size(), 40);
}

TEST(ResultBuffers, AreEachOfTheirOwnTypesSize) {
  v1::ComputeLossRequest request;
  request.mutable_spec()->set_reduction(v1::REDUCTION_NONE);
  request.mutable_spec()->set_gradient_dtype(v1::DATA_TYPE_FLOAT64);
  request.mutable_logits()->set_dtype(v1::DATA_TYPE_BFLOAT16);
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets()}) {
    tensor->add_shape(10);
    tensor->set_data(std::string(tensor->dtype() == 0 ? 40 : 20, '\0'));
  }
  const request::Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  const auto pool = std::make_shared<BufferPool>(0);
  absl::StatusOr<ResultBuffers> results =
      TakeResultBuffers(reading.valid, *pool);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->losses.size(), 20);
  EXPECT_EQ(results->gradient.size(), 80);

  const batching::Computed computed;
  const v1::ComputeLossResponse response =
      Parse(WriteReply({.computed = computed,
                        .request_id = "",
                        .request = reading.valid,
                        .results = *std::move(results)},
                       pool)
                .Finish());
  EXPECT_EQ(response.losses().dtype(), v1::DATA_TYPE_BFLOAT16);
  EXPECT_EQ(response.losses().data().size(), 20U);
  EXPECT_EQ(response.gradient().dtype(), v1::DATA_TYPE_FLOAT64);
  EXPECT_EQ(response.gradient().data().size(), 80U);
}

TEST(ResultBuffers, HoldALossForEachRow) {
  v1::ComputeLossRequest request;
  request.mutable_spec()->set_reduction(v1::REDUCTION_ROWS);
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets()}) {
    tensor->add_shape(2);
    tensor->add_shape(5);
    for (int i = 0; i < 10; ++i) tensor->add_values(0);
  }
  const request::Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  const auto pool = std::make_shared<BufferPool>(0);
  absl::StatusOr<ResultBuffers> results =
      TakeResultBuffers(reading.valid, *pool);
  ASSERT_TRUE(results.ok()) << results.status();
  EXPECT_EQ(results->losses.size(), 8);
  EXPECT_EQ(results->gradient.size(), 40);
  results->losses = Counting(*pool, 2, 3);
  results->gradient = Counting(*pool, 10, 0);
  const batching::Computed computed;
  const v1::ComputeLossResponse response =
      Parse(WriteReply({.computed = computed,
                        .request_id = "",
                        .request = reading.valid,
                        .results = *std::move(results)},
                       pool)
                .Finish());
  ASSERT_EQ(response.losses().shape_size(), 1);
  EXPECT_EQ(response.losses().shape(0), 2);
  ASSERT_EQ(response.losses().values_size(), 2);
  EXPECT_EQ(response.losses().values(1), 4);
  EXPECT_EQ(response.gradient().shape_size(), 2);
  EXPECT_EQ(response.gradient().values_size(), 10);
}

TEST(ResultBuffers, HoldASecondDerivativeAndLossesOfTheirTypes) {
  v1::ComputeLossRequest request;
  v1::LossSpec& spec = *request.mutable_spec();
  spec.set_reduction(v1::REDUCTION_NONE);
  spec.set_losses_dtype(v1::DATA_TYPE_FLOAT64);
  spec.set_gradient_dtype(v1::DATA_TYPE_BFLOAT16);
  spec.set_second_derivative(v1::SECOND_DERIVATIVE_MODE_RETURN);
  for (v1::Tensor* tensor :
       {request.mutable_logits(), request.mutable_targets()}) {
    tensor->add_shape(10);
    tensor->set_data(std::string(40, '\0'));
  }
  const request::Reading reading(request);
  ASSERT_TRUE(reading.status.ok()) << reading.status;
  EXPECT_EQ(reading.valid.reply_bytes(), 80U + 20 + 20);
  const auto pool = std::make_shared<BufferPool>(0);
  absl::StatusOr<ResultBuffers> results =
      TakeResultBuffers(reading.valid, *pool);
  ASSERT_TRUE(results.ok()) << results.status();
  const batching::Computed computed;
  const grpc::ByteBuffer bytes = WriteReply({.computed = computed,
                                             .request_id = "",
                                             .request = reading.valid,
                                             .results = *std::move(results)},
                                            pool)
                                     .Finish();
  const v1::ComputeLossResponse response = Parse(bytes);
  EXPECT_EQ(response.losses().dtype(), v1::DATA_TYPE_FLOAT64);
  EXPECT_EQ(response.losses().data().size(), 80U);
  EXPECT_EQ(response.second_derivative().dtype(), v1::DATA_TYPE_BFLOAT16);
  EXPECT_EQ(response.second_derivative().shape(0), 10);
  EXPECT_EQ(response.second_derivative().data().size(), 20U);
  EXPECT_EQ(response.gradient().data().size(), 20U);
}

TEST(ResultBuffers, OfAnEmptyRequestTakeNoMemory) {
  allocations_left = 0;
  BufferPool pool(0, &AllocateSome);
  const Asked asked(0, false, v1::REDUCTION_NONE);
  EXPECT_TRUE(TakeResultBuffers(asked.valid, pool).ok());
}

TEST(ResultBuffers, WithoutMemoryTheRequestIsResourceExhausted) {
  for (const int left : {0, 1}) {  // none for the losses, none for the gradient
    allocations_left = left;
    BufferPool pool(0, &AllocateSome);
    const Asked asked(10, false, v1::REDUCTION_NONE);
    const absl::Status status = TakeResultBuffers(asked.valid, pool).status();
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  }
}

grpc::ByteBuffer Write(const Asked& asked, size_t count,
                       const std::shared_ptr<BufferPool>& pool) {
  batching::Computed computed;
  computed.normalizer = 4;
  computed.backend = "cpu/TEST";
  computed.batch_requests = 3;
  computed.totals.valid_count = 7;
  Reply reply{.loss = 0.5,
              .computed = computed,
              .queue_time = absl::Milliseconds(1500),
              .request_id = "r-1",
              .request = asked.valid,
              .results = {.gradient = Counting(*pool, count, 0)}};
  if (asked.valid.wants_losses()) {
    reply.results.losses = Counting(*pool, count, 100);
  }
  return WriteReply(std::move(reply), pool).Finish();
}

class ReplySize : public testing::TestWithParam<size_t> {};

TEST_P(ReplySize, ReadsBackWithGeneratedCode) {
  const size_t count = GetParam();
  const auto pool = std::make_shared<BufferPool>(1 << 20);
  const Asked asked(count, false, v1::REDUCTION_NONE);
  const v1::ComputeLossResponse response = Parse(Write(asked, count, pool));
  EXPECT_EQ(response.loss(), 0.5);
  EXPECT_EQ(response.normalizer(), 4);
  EXPECT_EQ(response.valid_count(), 7);
  EXPECT_EQ(response.request_id(), "r-1");
  EXPECT_EQ(response.execution().backend(), "cpu/TEST");
  EXPECT_EQ(response.execution().batch_requests(), 3);
  EXPECT_EQ(response.execution().queue_time().seconds(), 1);
  EXPECT_EQ(response.execution().queue_time().nanos(), 500000000);
  EXPECT_EQ(response.gradient().dtype(), v1::DATA_TYPE_FLOAT32);
  ASSERT_EQ(response.gradient().shape_size(), 1);
  EXPECT_EQ(response.gradient().shape(0), static_cast<int64_t>(count));
  ASSERT_EQ(response.gradient().data().size(), count * sizeof(float));
  ASSERT_EQ(response.losses().data().size(), count * sizeof(float));
  for (size_t i = 0; i < count; ++i) {
    float gradient;
    float loss;
    std::memcpy(&gradient,
                response.gradient().data().data() + i * sizeof(float), 4);
    std::memcpy(&loss, response.losses().data().data() + i * sizeof(float), 4);
    ASSERT_EQ(gradient, static_cast<float>(i));
    ASSERT_EQ(loss, 100 + static_cast<float>(i));
  }
}

INSTANTIATE_TEST_SUITE_P(ReplyWriter, ReplySize,
                         testing::Values(0, 1, 64, 512, 513, 5000));

TEST(ReplyWriter, SendsALargeGradientWhereItLies) {
  const auto pool = std::make_shared<BufferPool>(1 << 20);
  const Asked asked(5000, false, v1::REDUCTION_MEAN);
  const std::byte* place = nullptr;
  {
    // The pool hands out the buffer that came back last, so its place is known.
    const Buffer buffer = pool->Take(5000 * sizeof(float));
    place = buffer.data();
  }
  const grpc::ByteBuffer bytes = Write(asked, 5000, pool);
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(bytes.Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(static_cast<const void*>(slices[1].begin()), place);
}

TEST(ReplyWriter, ReturnsTheBufferWhenGrpcReleasesIt) {
  const auto pool = std::make_shared<BufferPool>(1 << 20);
  const Asked asked(5000, false, v1::REDUCTION_MEAN);
  {
    const grpc::ByteBuffer bytes = Write(asked, 5000, pool);
    EXPECT_EQ(pool->pooled_bytes(), 0U);
  }
  EXPECT_GE(pool->pooled_bytes(), 5000 * sizeof(float));
}

TEST(ReplyWriter, AnswersValuesWithValues) {
  const auto pool = std::make_shared<BufferPool>(1 << 20);
  const Asked asked(3, true, v1::REDUCTION_MEAN);
  const v1::ComputeLossResponse response = Parse(Write(asked, 3, pool));
  ASSERT_EQ(response.gradient().values_size(), 3);
  EXPECT_EQ(response.gradient().values(2), 2);
  EXPECT_FALSE(response.gradient().has_data());
}

}  // namespace
}  // namespace lossd::rpc
