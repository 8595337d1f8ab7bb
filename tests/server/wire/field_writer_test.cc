#include "server/wire/field_writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <vector>

#include "lossd/v1/loss_service.pb.h"
#include "server/wire/wire_format.h"

namespace lossd::wire {
namespace {

using v1::ComputeLossResponse;
using v1::Execution;
using v1::Tensor;

// ByHand() and Generated() write one response with the two writers, fields in
// the order of their numbers.
std::string ByHand(double loss, int64_t count, const std::string& text,
                   const std::vector<uint64_t>& shape) {
  std::string out;
  FieldWriter fields(&out);
  fields.Double(ComputeLossResponse::kLossFieldNumber, loss);
  fields.Message(ComputeLossResponse::kGradientFieldNumber, 0, [&] {
    fields.PackedVarints(Tensor::kShapeFieldNumber, shape);
    fields.Bytes(Tensor::kDataFieldNumber, text);
  });
  fields.Varint(ComputeLossResponse::kValidCountFieldNumber,
                static_cast<uint64_t>(count));
  fields.Message(ComputeLossResponse::kExecutionFieldNumber, 0,
                 [&] { fields.Bytes(Execution::kBackendFieldNumber, text); });
  return out;
}

std::string Generated(double loss, int64_t count, const std::string& text,
                      const std::vector<uint64_t>& shape) {
  ComputeLossResponse response;
  response.set_loss(loss);
  response.set_valid_count(count);
  Tensor& gradient = *response.mutable_gradient();
  for (const uint64_t dim : shape) {
    gradient.add_shape(static_cast<int64_t>(dim));
  }
  if (!text.empty()) gradient.set_data(text);
  response.mutable_execution()->set_backend(text);
  return response.SerializeAsString();
}

TEST(FieldWriter, WritesTheBytesOfTheGeneratedCode) {
  std::mt19937_64 random(11);
  const std::vector<double> losses = {
      0.0, -0.0, 1.5, std::numeric_limits<double>::infinity(),
      std::numeric_limits<double>::denorm_min()};
  for (int round = 0; round < 2000; ++round) {
    const double loss = losses[random() % losses.size()];
    const auto count = static_cast<int64_t>(random() >> (random() % 64));
    // The lengths lie around those whose varint takes a byte more.
    const std::string text(
        std::vector<size_t>{0, 1, 100, 127, 128, 16383, 16384}[random() % 7],
        'x');
    std::vector<uint64_t> shape(random() % 40);
    for (uint64_t& dim : shape) dim = random() >> (random() % 64);
    ASSERT_EQ(ByHand(loss, count, text, shape),
              Generated(loss, count, text, shape))
        << round;
  }
}

TEST(FieldWriter, CountsBytesThatTheCallerSendsAfterIt) {
  const std::string payload(300, 'p');
  std::string out;
  FieldWriter fields(&out);
  fields.Message(ComputeLossResponse::kGradientFieldNumber, payload.size(),
                 [&] {
                   AppendTag({Tensor::kDataFieldNumber, kLength}, &out);
                   AppendVarint(payload.size(), &out);
                 });
  out += payload;
  ComputeLossResponse response;
  ASSERT_TRUE(response.ParseFromString(out));
  EXPECT_EQ(response.gradient().data(), payload);
}

}  // namespace
}  // namespace lossd::wire
