// Tests that the reply does not depend on where the wire cut the request, which
// is parsed, validated, computed and written as the server does it.
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cpu/cpu_kernel.h"
#include "server/rpc/reply_writer.h"
#include "tests/server/request/reading.h"

namespace lossd::rpc {
namespace {

using Random = std::mt19937_64;

class LocalTask final : public batching::Task {
 public:
  void OnComputed(const batching::Computed&) override {}
  void OnDropped(const absl::Status&) override {}
};

// Returns the bytes of the reply to a request that comes in these slices.
std::string ReplyTo(const std::vector<grpc::Slice>& slices) {
  wire::RequestParser parser;
  request::ValidRequest request;
  absl::Status status =
      parser.Parse(grpc::ByteBuffer(slices.data(), slices.size()));
  if (status.ok()) status = request.Read(parser);
  if (!status.ok()) return status.ToString();
  const auto pool = std::make_shared<BufferPool>(0);
  ResultBuffers results = *TakeResultBuffers(request, *pool);
  LocalTask task;
  task.segment = request.segment();
  task.segment.losses = results.losses.data();
  task.segment.gradient = results.gradient.data();
  batching::Prepare(task);
  if (task.phase == batching::Task::Phase::kCounting) {
    kernels::cpu::CountBlocks(task.segment, 0, task.partials);
    const kernels::Totals totals = kernels::Combine(task.partials);
    task.gradient_scale = kernels::GradientScale(
        task.segment, kernels::NormalizerOf(task.segment, totals));
  }
  kernels::cpu::BestInstructionSet().compute_blocks(
      task.segment, task.gradient_scale, 0, task.partials);
  const batching::Computed computed = batching::AnswerOf(task);
  const double loss =
      kernels::LossOf(task.segment, computed.totals, computed.normalizer);
  const grpc::ByteBuffer reply =
      WriteReply({.loss = loss,
                  .computed = computed,
                  .request_id = parser.request().request_id(),
                  .request = request,
                  .results = std::move(results)},
                 pool)
          .Finish();
  grpc::Slice flat;
  EXPECT_TRUE(reply.DumpToSingleSlice(&flat).ok());
  return std::string(flat.begin(), flat.end());
}

// Cuts the bytes at random places; some slices are empty.
std::vector<grpc::Slice> CutAtRandom(const std::string& bytes, Random& random) {
  std::vector<size_t> cuts = {0, bytes.size()};
  for (uint64_t i = random() % 40; i > 0; --i) {
    cuts.push_back(random() % (bytes.size() + 1));
  }
  std::sort(cuts.begin(), cuts.end());
  std::vector<grpc::Slice> slices;
  for (size_t i = 1; i < cuts.size(); ++i) {
    slices.emplace_back(bytes.data() + cuts[i - 1], cuts[i] - cuts[i - 1]);
  }
  return slices;
}

template <typename... Values>
auto OneOf(Random& random, Values... values) {
  const std::common_type_t<Values...> all[] = {values...};
  return all[random() % sizeof...(values)];
}

// Returns bytes that are numbers around 0 in every floating-point type: none
// has the exponent of an infinity or a NaN.
std::string FloatBytes(v1::DataType dtype, size_t count, Random& random) {
  const size_t width = dtype == v1::DATA_TYPE_FLOAT64   ? 8
                       : dtype == v1::DATA_TYPE_FLOAT32 ? 4
                                                        : 2;
  std::string bytes(count * width, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  for (size_t i = width - 1; i < bytes.size(); i += width) {
    bytes[i] = static_cast<char>(OneOf(random, 0x3F, 0xBF, 0x40, 0xC0));
  }
  return bytes;
}

void FillTargets(uint64_t rows, uint64_t columns, Random& random,
                 v1::Tensor* targets) {
  const size_t count = rows * columns;
  switch (random() % 5) {
    case 0: {
      v1::SparseIndices& ones = *targets->mutable_ones();
      ones.add_row_splits(0);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = random() % 7; c < columns; c += 1 + random() % 90) {
          ones.add_columns(static_cast<int64_t>(c));
        }
        ones.add_row_splits(ones.columns_size());
      }
      return;
    }
    case 1:
      targets->mutable_identity()->set_diagonal(
          static_cast<int64_t>(random() % 9) - 4);
      return;
    case 2:
      targets->set_dtype(v1::DATA_TYPE_BIT);
      targets->set_data(std::string((count + 7) / 8, '\x5a'));
      break;
    case 3:
      targets->set_dtype(v1::DATA_TYPE_INT64);
      for (size_t i = 0; i < count; ++i) {
        const int64_t target = static_cast<int64_t>(random() % 2);
        targets->mutable_data()->append(reinterpret_cast<const char*>(&target),
                                        sizeof(target));
      }
      break;
    default:
      targets->set_dtype(v1::DATA_TYPE_FLOAT16);
      for (size_t i = 0; i < count; ++i) {  // 0, 0.5 or 1
        targets->mutable_data()->append(OneOf(random, std::string("\0\0", 2),
                                              std::string("\0\x38", 2),
                                              std::string("\0\x3c", 2)));
      }
  }
  targets->add_shape(static_cast<int64_t>(rows));
  targets->add_shape(static_cast<int64_t>(columns));
}

v1::ComputeLossRequest RandomRequest(Random& random) {
  const auto float_type = [&random] {
    return OneOf(random, v1::DATA_TYPE_FLOAT32, v1::DATA_TYPE_FLOAT64,
                 v1::DATA_TYPE_BFLOAT16, v1::DATA_TYPE_FLOAT16);
  };
  const uint64_t rows = 1 + random() % 40;
  const uint64_t columns = 1 + random() % 150;
  v1::ComputeLossRequest request;
  v1::LossSpec& spec = *request.mutable_spec();
  spec.set_kind(OneOf(random, v1::LOSS_KIND_SIGMOID_CROSS_ENTROPY,
                      v1::LOSS_KIND_SIGMOID_FOCAL, v1::LOSS_KIND_ASYMMETRIC));
  spec.set_reduction(OneOf(random, v1::REDUCTION_MEAN, v1::REDUCTION_NONE));
  if (spec.reduction() == v1::REDUCTION_MEAN) {
    spec.set_normalizer(
        OneOf(random, v1::NORMALIZER_BATCH, v1::NORMALIZER_WEIGHT_SUM));
  }
  if (spec.kind() == v1::LOSS_KIND_SIGMOID_FOCAL) spec.set_focal_gamma(2);
  if (spec.kind() == v1::LOSS_KIND_ASYMMETRIC) {
    spec.set_asymmetric_gamma_negative(4);
    spec.set_asymmetric_margin(0.05);
  }
  spec.set_gradient_dtype(float_type());
  v1::Tensor& logits = *request.mutable_logits();
  logits.set_dtype(float_type());
  logits.add_shape(static_cast<int64_t>(rows));
  logits.add_shape(static_cast<int64_t>(columns));
  logits.set_data(FloatBytes(logits.dtype(), rows * columns, random));
  FillTargets(rows, columns, random, request.mutable_targets());
  if (random() % 2 == 0) {
    v1::Tensor& weights = *request.mutable_weights();
    weights.set_dtype(v1::DATA_TYPE_INT32);
    weights.add_shape(static_cast<int64_t>(columns));
    weights.set_data(std::string(4 * columns, '\x01'));
  }
  request.set_request_id("sliced");
  return request;
}

TEST(Slices, DoNotChangeAByteOfTheReply) {
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  int answered = 0;
  for (int round = 0; round < 300 && !testing::Test::HasFailure(); ++round) {
    const std::string bytes = RandomRequest(random).SerializeAsString();
    const std::string whole =
        ReplyTo({grpc::Slice(bytes.data(), bytes.size())});
    v1::ComputeLossResponse response;
    if (response.ParseFromString(whole) && response.valid_count() > 0) {
      ++answered;
    }
    for (int cut = 0; cut < 4; ++cut) {
      ASSERT_EQ(ReplyTo(CutAtRandom(bytes, random)), whole)
          << "round " << round << " of seed " << seed;
    }
  }
  // Comparing refusals alone would prove nothing.
  EXPECT_EQ(answered, 300);
}

}  // namespace
}  // namespace lossd::rpc
